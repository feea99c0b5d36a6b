//! The challenges in an answer that asks for a login (RFC 9110, section 11.3; Docker token authentication).

/// A way to log in that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Scheme in lower case: `basic`, `bearer`.
    pub scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Reads the challenges of a WWW-Authenticate header, which may hold several. What is malformed ends the list.
    pub fn parse(header: &str) -> Vec<Challenge> {
        let mut challenges: Vec<Challenge> = Vec::new();
        let mut rest = header;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let Some((word, after)) = token(rest) else { return challenges };
            let value = after.trim_start().strip_prefix('=').map(str::trim_start);
            match (value.and_then(value_of), challenges.last_mut()) {
                (Some((value, after)), Some(challenge)) => {
                    challenge.parameters.push((word.to_ascii_lowercase(), value));
                    rest = after;
                }
                (Some(_), None) => return challenges,
                (None, _) => {
                    challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                    rest = after;
                }
            }
        }
    }

    /// Returns the value of a parameter, such as `realm`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }
}

/// Splits a token (RFC 9110, section 5.6.2) from the start of a text.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_of_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Splits a token or a quoted string from the start of a text, and removes the quotes.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_one_header_may_hold_several_challenges_and_malformed_ones_do_not_panic() {
        let header = r#"Basic realm="a \"b\"", Bearer realm="https://auth.example/token",service=registry,scope="x""#;
        let challenges = Challenge::parse(header);
        assert_eq!(challenges.len(), 2);
        assert_eq!((challenges[0].scheme.as_str(), challenges[0].parameter("realm")), ("basic", Some("a \"b\"")));
        assert_eq!(challenges[1].parameter("realm"), Some("https://auth.example/token"));
        assert_eq!(challenges[1].parameter("service"), Some("registry"));
        assert_eq!(challenges[1].parameter("error"), None);
        assert_eq!(Challenge::parse("Negotiate")[0].scheme, "negotiate");
        for odd in ["", ",,,", "=", "\"", "Bearer realm=\"open", "a=b", "Bearer realm=", "é", &"x".repeat(10_000)] {
            let _ = Challenge::parse(odd);
        }
    }
}
