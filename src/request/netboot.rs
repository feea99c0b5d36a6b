//! The request of `netboot`: images and hosts, checked before anything is fetched or written.

use crate::boot::initramfs_source::Source;
use crate::boot::root_on::LiveFormat;
use crate::cli::NetbootArgs;
use crate::error::{Result, usage};
use crate::init::source::Place;
use crate::request::netboot_config::{HostConfig, NetbootConfig};
use crate::words::loader::Loader;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Images that are kept although no host uses them, unless the user says otherwise.
const KEEP: usize = 2;
/// Longest name of a host or an image: that of a label in DNS (RFC 1035, 2.3.4).
const NAME_MAX: usize = 63;

/// A folder for machines that boot from the network.
#[derive(Debug)]
pub struct NetbootRequest {
    /// The folder.
    pub folder: PathBuf,
    /// Address of the folder, without a `/` at its end.
    pub url: String,
    /// References of the images by their names.
    pub images: BTreeMap<String, String>,
    /// Hosts by their names.
    pub hosts: BTreeMap<String, Host>,
    /// Format of the images.
    pub format: LiveFormat,
    /// Boot loaders to hand out.
    pub loaders: Vec<Loader>,
    /// Put images into their initramfs.
    pub embeds: bool,
    /// Let machines boot what the image's tag names then.
    pub follows: bool,
    /// File with the login of machines at their registry, on a disk of their own, as `DEVICE/PATH`.
    pub auth_on: Option<String>,
    /// Let the image's dracut make the initramfs, which is the stock one for live images.
    pub by_dracut: bool,
    /// Number of images to keep that no host uses.
    pub keep: usize,
}

/// A machine that boots from the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Name of its image.
    pub image: String,
    /// Reference of its own image, whose first layers are those of that one.
    pub layer: Option<String>,
    /// MAC addresses of its network cards, as `aa-bb-cc-dd-ee-ff`.
    pub macs: Vec<String>,
    /// UUIDs of its firmware, in lower case.
    pub uuids: Vec<String>,
}

impl NetbootRequest {
    /// Joins the flags with the file; a flag wins.
    pub fn of(args: &NetbootArgs, config: &NetbootConfig) -> Result<NetbootRequest> {
        let url = args.url.as_ref().or(config.url.as_ref()).ok_or_else(|| {
            usage(
                "machines do not know where the folder is",
                "name it: --url http://SERVER/PATH, or `url` in the config",
            )
        })?;
        let loaders = if args.loader.is_empty() { config.loader.clone() } else { Some(args.loader.clone()) };
        let images = images(args, config)?;
        let request = NetbootRequest {
            folder: args.folder.clone(),
            url: address(url)?,
            hosts: hosts(args, config, &images)?,
            images,
            format: args.format.or(config.format).unwrap_or(LiveFormat::Squashfs),
            loaders: loaders.unwrap_or_else(|| vec![Loader::Ipxe]),
            embeds: args.embed || config.embed.unwrap_or(false),
            follows: args.follow_tag || config.follow_tag.unwrap_or(false),
            auth_on: args.auth_on.clone().or_else(|| config.auth_on.clone()),
            by_dracut: args.boot.initramfs.or(config.initramfs) == Some(Source::Dracut),
            keep: args.keep.or(config.keep).unwrap_or(KEEP),
        };
        request.refuse_odd(args)?;
        Ok(request)
    }

    /// Refuses what does not go together.
    fn refuse_odd(&self, args: &NetbootArgs) -> Result<()> {
        refuse_shared(&self.hosts)?;
        let changes_hosts = args.rollback.is_some() || args.promote.is_some();
        if !changes_hosts && self.images.is_empty() {
            return Err(usage("there is nothing to do: no image is named", "name one: --image NAME=REFERENCE"));
        }
        refuse_odd_folder(&self.folder)?;
        if let Some((name, _)) = self.hosts.iter().find(|(_, host)| host.layer.is_some()).filter(|_| self.follows) {
            let found = format!("the layer of {name} is for one image, and --follow-tag may boot another one later");
            return Err(usage(found, "omit one of them"));
        }
        if self.by_dracut {
            self.refuse_beyond_dracut()?;
        } else if !self.embeds && self.url.starts_with("tftp:") {
            let found = format!("the initramfs fetches no image by TFTP, and the folder is at {}", self.url);
            return Err(usage(found, "serve the folder by HTTP, too: --url http://SERVER/PATH; or add --embed"));
        }
        if self.embeds && self.format == LiveFormat::Unpacked {
            let found = "--embed puts the root into the initramfs, and --format unpacked leaves it in its registry";
            return Err(usage(found, "omit one of them"));
        }
        if let Some((name, _)) = self.hosts.iter().find(|(_, host)| host.layer.is_some()).filter(|_| self.embeds) {
            let found = format!("--embed is for machines without a network, and the layer of {name} comes over one");
            return Err(usage(found, "omit one of them"));
        }
        if let Some(place) = &self.auth_on {
            self.refuse_odd_auth(place)?;
        }
        if !args.boot.filesystem.is_empty() {
            return Err(usage("--filesystem is for slots, and these images are files", "choose --format"));
        }
        Ok(())
    }
}

impl NetbootRequest {
    /// Refuses a place of the machines' login that they would not find, or do not need.
    fn refuse_odd_auth(&self, place: &str) -> Result<()> {
        if self.format != LiveFormat::Unpacked {
            let found = "--auth-on is for a registry that machines ask, which --format unpacked alone does";
            return Err(usage(found, "add --format unpacked, or omit --auth-on"));
        }
        refuse_odd_words([place])?;
        Place::read_on_disk(place)
            .map(drop)
            .map_err(|found| usage(format!("--auth-on {found}"), "write --auth-on PARTLABEL=data/flipslot/auth.json"))
    }

    /// Refuses what the stock initramfs of dracut does not do.
    fn refuse_beyond_dracut(&self) -> Result<()> {
        let with_layer = self.hosts.iter().find(|(_, host)| host.layer.is_some());
        let what = match (self.format.filesystem(), with_layer) {
            _ if self.embeds => "knows no --embed".to_owned(),
            (None, _) => format!("fetches one file, and unpacks no layers (--format {})", self.format.name()),
            (_, Some((name, _))) => format!("lays no layer over an image, and {name} has one"),
            _ => return Ok(()),
        };
        Err(usage(format!("the initramfs of dracut {what}"), "omit it, or --initramfs dracut"))
    }
}

/// Joins the images of the flags and the file.
fn images(args: &NetbootArgs, config: &NetbootConfig) -> Result<BTreeMap<String, String>> {
    let mut images = BTreeMap::new();
    for text in &args.images {
        let (name, reference) = named(text, "--image", "NAME=REFERENCE")?;
        if images.insert(name.clone(), reference.to_owned()).is_some() {
            return Err(usage(format!("--image {name} is given twice"), "name each image once"));
        }
    }
    for (name, reference) in &config.image {
        refuse_odd_name(name, "[image]")?;
        images.entry(name.clone()).or_insert_with(|| reference.clone());
    }
    Ok(images)
}

/// Joins the hosts of the flags and the file.
fn hosts(
    args: &NetbootArgs,
    config: &NetbootConfig,
    images: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Host>> {
    let mut hosts = BTreeMap::new();
    for text in &args.hosts {
        let (name, rest) = named(text, "--host", "NAME=IMAGE,mac=MAC")?;
        let host = host(&name, rest, images)?;
        if hosts.insert(name.clone(), host).is_some() {
            return Err(usage(format!("--host {name} is given twice"), "name each host once"));
        }
    }
    for (name, HostConfig { image, layer, mac, uuid }) in &config.host {
        refuse_odd_name(name, "[host]")?;
        if let Some(odd) = mac.iter().chain(uuid).chain([image]).chain(layer).find(|text| text.contains(',')) {
            return Err(usage(
                format!("[host.{name}]: '{}' is more than one", odd.escape_debug()),
                "make a list of them",
            ));
        }
        let addresses = mac.iter().map(|mac| format!(",mac={mac}")).chain(uuid.iter().map(|id| format!(",uuid={id}")));
        let layer = layer.as_ref().map(|layer| format!(",layer={layer}"));
        let made = host(name, &format!("{image}{}", addresses.chain(layer).collect::<String>()), images)?;
        hosts.entry(name.clone()).or_insert(made);
    }
    Ok(hosts)
}

/// Splits `NAME=REST`. A name is `[a-z0-9.-]`, so that it needs no quotes in any loader's file.
fn named<'t>(text: &'t str, flag: &str, form: &str) -> Result<(String, &'t str)> {
    let (name, rest) = text.split_once('=').filter(|(_, rest)| !rest.is_empty()).ok_or_else(|| {
        usage(format!("{flag} '{}' is incomplete", text.escape_debug()), format!("write {flag} {form}"))
    })?;
    refuse_odd_name(name, flag)?;
    Ok((name.to_owned(), rest))
}

/// Refuses a name that a file of a boot loader could read as something else.
pub fn refuse_odd_name(name: &str, flag: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let is_edge = |c: char| c == '.' || c == '-';
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_plain) || name.starts_with(is_edge) {
        let found = format!("{flag}: '{}' cannot be a name", name.escape_debug());
        return Err(usage(found, "use lower-case letters, digits, '.' and '-', at most 63, a letter or digit first"));
    }
    Ok(())
}

fn host(name: &str, rest: &str, images: &BTreeMap<String, String>) -> Result<Host> {
    let mut parts = rest.split(',');
    let image = parts.next().unwrap_or_default().to_owned();
    let mut host = Host { image, layer: None, macs: Vec::new(), uuids: Vec::new() };
    if !images.contains_key(&host.image) {
        let found = format!("host {name} boots the image '{}', which no --image names", host.image.escape_debug());
        return Err(usage(found, "name it: --image NAME=REFERENCE, or in the table [image]"));
    }
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let known = match key {
            "mac" => mac(value).map(|mac| host.macs.push(mac)),
            "uuid" => uuid(value).map(|uuid| host.uuids.push(uuid)),
            "layer" if !value.is_empty() && host.layer.is_none() => {
                host.layer = Some(value.to_owned());
                Some(())
            }
            _ => None,
        };
        if known.is_none() {
            let found = format!("--host {name}: '{}' is neither an address nor a layer", part.escape_debug());
            return Err(usage(found, "write mac=52:54:00:12:34:56, uuid=4c4c4544-… or, once, layer=REFERENCE"));
        }
    }
    if host.macs.is_empty() && host.uuids.is_empty() {
        return Err(usage(format!("--host {name} has no address by which it is known"), "add mac=… or uuid=…"));
    }
    Ok(host)
}

/// Returns a MAC address as the boot loaders spell it in a path.
fn mac(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let is_byte = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    (parts.len() == 6 && parts.iter().all(is_byte)).then(|| parts.join("-").to_ascii_lowercase())
}

fn uuid(text: &str) -> Option<String> {
    uuid::Uuid::try_parse(text).ok().map(|uuid| uuid.hyphenated().to_string())
}

/// Refuses a folder that a configuration of dnsmasq could not name.
fn refuse_odd_folder(folder: &Path) -> Result<()> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@".contains(byte);
    if folder.as_os_str().as_encoded_bytes().iter().all(is_plain) {
        return Ok(());
    }
    let found = format!("'{}' cannot be served: a server's configuration could misread it", folder.display());
    Err(usage(found, "use letters, digits, '/', '.', '_' and '-'"))
}

/// Refuses words that iPXE reads as something else (ipxe.org/scripting).
pub fn refuse_odd_words<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=,.:_-/+@%[]*~#".contains(&byte);
    // A '#' begins a comment where a word begins with it.
    let is_odd = |word: &&str| word.starts_with('#') || !word.bytes().all(is_plain);
    let odd = words.into_iter().flat_map(str::split_whitespace).find(is_odd);
    odd.map_or(Ok(()), |odd| {
        let found = format!("'{}' cannot be a word of the kernel here: iPXE could misread it", odd.escape_debug());
        Err(usage(found, "write plain words: key=value"))
    })
}

/// Refuses an address that two hosts have: which of them boots would be chance.
fn refuse_shared(hosts: &BTreeMap<String, Host>) -> Result<()> {
    let mut known = BTreeMap::new();
    for (name, host) in hosts {
        for address in host.macs.iter().chain(&host.uuids) {
            if let Some(other) = known.insert(address, name) {
                return Err(usage(format!("the hosts {other} and {name} both have {address}"), "give it to one"));
            }
        }
    }
    Ok(())
}

/// Returns the address without a `/` at its end. Refuses one that needs quotes in a loader's file.
fn address(text: &str) -> Result<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-_~%[]".contains(&byte);
    let rest = ["http://", "https://", "tftp://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) || !text.bytes().all(is_plain) {
        let found = format!("'{}' is not an address of a folder", text.escape_debug());
        return Err(usage(found, "write http://SERVER/PATH, without a query or a password"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Verb};
    use clap::Parser;

    fn request(more: &[&str]) -> Result<NetbootRequest> {
        let words = [&["flipslot", "netboot", "d", "--url", "http://srv/boot/"], more].concat();
        let Verb::Netboot(args) = Cli::try_parse_from(words).unwrap().verb else { panic!("it is netboot") };
        NetbootRequest::of(&args, &NetbootConfig::read(args.boot.config.as_deref())?)
    }

    #[test]
    fn hosts_are_known_by_their_addresses_in_any_spelling() {
        let made = request(&[
            "--image=web=oci:x:1",
            "--host=r1=web,mac=52-54-00-AB-cd-EF,uuid=4C4C4544004B3510804BB4C04F564431",
        ]);
        let made = made.unwrap();
        assert_eq!(made.url, "http://srv/boot");
        assert_eq!(made.images["web"], "oci:x:1");
        assert_eq!(made.hosts["r1"].macs, ["52-54-00-ab-cd-ef"]);
        assert_eq!(made.hosts["r1"].uuids, ["4c4c4544-004b-3510-804b-b4c04f564431"]);
    }

    #[test]
    fn a_file_defines_the_folder_and_flags_override_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "url = 'http://other/'\nformat = 'erofs'\nkeep = 7\nconsole = ['ttyS0']\n[image]\nweb = 'oci:x:1'\ndb = 'oci:y:1'\n\
                    [host.r1]\nimage = 'web'\nmac = ['52:54:00:12:34:56']\n";
        std::fs::write(file.path(), text).unwrap();
        let config = format!("--config={}", file.path().display());
        let made = request(&[&config, "--image=web=oci:z:1", "--host=r2=db,mac=52:54:00:12:34:57"]).unwrap();
        assert_eq!((made.url.as_str(), made.format, made.keep), ("http://srv/boot", LiveFormat::Erofs, 7));
        assert_eq!((made.images["web"].as_str(), made.images["db"].as_str()), ("oci:z:1", "oci:y:1"));
        assert_eq!((made.hosts["r1"].image.as_str(), made.hosts["r2"].image.as_str()), ("web", "db"));
        assert_eq!(NetbootConfig::read(Some(file.path())).unwrap().boots().console, Some(vec!["ttyS0".to_owned()]));
        std::fs::write(file.path(), "url = 'http://x/'\nimages = 3\n").unwrap();
        let said = request(&[&config]).unwrap_err().to_string();
        assert!(said.contains("line 2") && said.contains("images"), "{said}");
    }

    #[test]
    fn machines_log_in_where_they_ask_a_registry_and_the_file_is_on_a_disk() {
        let with = |format: &str, place: &str| {
            request(&["--image=web=docker://srv/x:1", &format!("--format={format}"), &format!("--auth-on={place}")])
        };
        let place = "PARTLABEL=data/flipslot/auth.json";
        assert_eq!(with("unpacked", place).unwrap().auth_on.as_deref(), Some(place));
        let said = |format, place| with(format, place).unwrap_err().to_string();
        assert!(said("erofs", place).contains("--format unpacked alone does"));
        assert!(said("unpacked", "/etc/auth.json").contains("--auth-on /etc/auth.json is not a file on a device"));
        assert!(said("unpacked", "LABEL=a/b$c").contains("cannot be a word of the kernel"));
    }

    #[test]
    fn what_a_loader_could_misread_is_refused() {
        let said = |more: &[&str]| request(more).unwrap_err().to_string();
        assert!(said(&["--image=we b=x"]).contains("'we b' cannot be a name"));
        assert!(said(&["--image=../x=x"]).contains("cannot be a name"));
        assert!(said(&["--image=web"]).contains("incomplete"));
        assert!(said(&["--image=web=x", "--image=web=y"]).contains("twice"));
        assert!(said(&["--image=web=x", "--host=a=db,mac=52:54:00:12:34:56"]).contains("no --image names"));
        assert!(said(&["--image=web=x", "--host=a=web"]).contains("no address"));
        assert!(said(&["--image=web=x", "--host=a=web,mac=52:54"]).contains("neither an address nor a layer"));
        let two = ["--image=web=x", "--host=a=web,mac=52:54:00:12:34:56", "--host=b=web,mac=52-54-00-12-34-56"];
        assert!(said(&two).contains("both have 52-54-00-12-34-56"));
        assert!(address("http://srv/a b").is_err() && address("ftp://srv/").is_err() && address("http:///x").is_err());
        assert!(address("http://user@srv/").is_err(), "no password in what anyone can fetch");
    }
}
