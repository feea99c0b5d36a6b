//! Texts that come from elsewhere, as they may be shown on a terminal.

/// Makes a text printable that quotes an image or a command line, which can hold anything: escapes control
/// characters, and cuts the text after about `most` bytes.
pub fn plain(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= most {
            shown.push_str(" ...");
            break;
        }
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}
