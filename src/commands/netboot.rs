//! `flipslot netboot`: OCI images in, a folder out from which machines boot by PXE.

use crate::boot::root_on::Login;
use crate::build::session::Session;
use crate::cli::{NetbootArgs, WriteArgs};
use crate::error::{Result, refused, usage};
use crate::forms::netboot::boot::Boot;
use crate::forms::netboot::delivery::Delivery;
use crate::forms::netboot::host_layer::{Layers, OfHost};
use crate::forms::netboot::hosts::Hosts;
use crate::forms::netboot::images::{IMAGES, Images, name_of};
use crate::forms::netboot::{self, NetbootJob, loaders};
use crate::initramfs::compress::Effort;
use crate::mount::lock::{Patience, lock};
use crate::mount::scratch::Scratch;
use crate::oci;
use crate::output::document::Format;
use crate::output::netboot::{Published, PublishedHost, PublishedImage};
use crate::output::print::print;
use crate::progress::Progress;
use crate::publish::described::Described;
use crate::request::netboot::{Host, NetbootRequest, refuse_odd_words};
use crate::request::netboot_config::NetbootConfig;
use crate::request::slot::{SlotFlags, SlotRequest};
use crate::words::digest::Digest;
use crate::words::origin::Origin;
use anyhow::Context;
use rustix::fs::Mode;
use rustix::process::umask;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

/// Writes images and hosts into a folder; or lets a host go back, or on.
pub fn run(args: &NetbootArgs) -> Result<()> {
    let begin = Instant::now();
    let config = NetbootConfig::read(args.boot.config.as_deref())?;
    let request = NetbootRequest::of(args, &config)?;
    let folder = request.folder.as_path();
    let one = args.rollback.as_ref().or(args.promote.as_ref());
    if one.is_some() && !folder.is_dir() {
        return Err(refused(format!("there is no folder {}", folder.display()), "name the folder of an earlier run"));
    }
    let boots = boots(args, &config)?;
    umask(Mode::WGRP | Mode::WOTH); // servers run as other users
    let _locked = locked(folder)?;
    let hosts = Hosts::open(folder, &request.url)?;
    hosts.refuse_in_the_clear()?;
    let published = if let Some(name) = &args.rollback {
        Published::new(folder, vec![published(hosts.roll_back(name)?, true)])
    } else if let Some(name) = &args.promote {
        Published::new(folder, vec![promote(name, &hosts, &Images::open(folder)?)?])
    } else {
        publish(&request, &boots, &hosts, &Progress::new(args.boot.fetch.progress))?
    };
    print(&published.took(begin.elapsed()), Format::of(args.boot.fetch.json))
}

/// Lets a host boot what was written last under the name of its image.
fn promote(name: &str, hosts: &Hosts, images: &Images) -> Result<PublishedHost> {
    let now = hosts.now(name)?;
    let of_image = now.name.ok_or_else(|| {
        let found = format!("the host {name} was published by a flipslot that did not note the name of its image");
        refused(found, format!("publish it: --image IMAGE=REFERENCE --host {name}=IMAGE,mac=…"))
    })?;
    let (folder, described) = images.named(&of_image)?;
    if now.layer.is_some() && described.follows_tag() {
        let found = format!("the layer of {name} is for one image, and {folder} follows a tag, which may be moved");
        return Err(refused(found, format!("publish {of_image} without --follow-tag, or the host without its layer")));
    }
    if now.layer.as_ref().is_some_and(|layer| layer.base != *described.root_digest()) {
        let found = format!("the layer of {name} is for the image that it boots now, and not for {folder}");
        let hint = format!(
            "build the host's image on the new one, then: --image {of_image}=… --host {name}={of_image},mac=…,layer=…"
        );
        return Err(refused(found, hint));
    }
    let boot = Boot::new(name, (&of_image, &folder), &described.cmdline).with_layer(now.layer, hosts.url());
    Ok(published(boot.clone(), hosts.point(&boot)?))
}

fn published(boot: Boot, changed: bool) -> PublishedHost {
    let layer = boot.layer.map(|layer| layer.file.name().to_owned());
    PublishedHost { host: boot.host, image: boot.image, layer, changed }
}

/// Writes images, loaders, layers of hosts and hosts, in this order.
fn publish(request: &NetbootRequest, boots: &SlotRequest, hosts: &Hosts, progress: &Progress) -> Result<Published> {
    oci::trust::bundle_if_none()?;
    let folder = request.folder.as_path();
    let mut delivery = Delivery::of(request.format, &boots.access.plain_http)?;
    let realms = &boots.access.realms;
    delivery = delivery.with_login(request.auth_on.clone().map(|auth_on| Login { auth_on, realms: realms.clone() }));
    if request.follows {
        refuse_fixes(boots)?;
        delivery = delivery.following(&boots.access.rules.keys)?;
    }
    let session = Session { scratch: &Scratch::enter()?, progress };
    hosts.used()?; // a damaged host is told before anything is written
    request.hosts.iter().try_for_each(|(name, host)| hosts.refuse_taken(name, host))?;
    let images = Images::open(folder)?;
    let found = Found::of(request, boots, &delivery, session)?;
    let mut made = BTreeMap::new();
    for (name, image) in &found.images {
        let url = (!request.embeds).then_some(request.url.as_str());
        let put = put(&images, image, (boots, &delivery, url), session).with_context(|| format!("image {name}"))?;
        images.name(name, &put.0)?;
        made.insert(*name, put);
    }
    put_loaders(request, session)?;
    let layers = Layers::open(folder)?;
    let mut ready = Vec::new();
    for (name, host) in &request.hosts {
        let Some((folder, described, _)) = made.get(&host.image) else { continue };
        let layer = found.layer(name, host).map(|(image, base)| {
            let in_the_clear = !request.url.starts_with("https://");
            let _step = session.progress.step(None, "writing the layer of a host", None);
            let of = OfHost { base, root: described.root_digest(), image, in_the_clear };
            layers.put(&of, &delivery.packing_of_layers()?).with_context(|| format!("layer of {name}"))
        });
        let boot = Boot::new(name, (&host.image, folder), &described.cmdline);
        ready.push((host, boot.with_layer(layer.transpose()?, &request.url)));
    }
    let publish = |(host, boot): (&Host, Boot)| hosts.publish(host, &boot).map(|changed| published(boot, changed));
    let published = ready.into_iter().map(publish).collect::<Result<_>>()?;
    let mut used = hosts.used()?;
    used.images.extend(made.values().map(|(folder, ..)| folder.clone()));
    let removed = images.remove_unused(&used.images, request.keep)?;
    layers.remove_unused(&used.layers)?;
    let made = made.into_iter().map(|(name, (folder, described, is_new))| PublishedImage {
        name: name.clone(),
        folder,
        is_new,
        described,
    });
    Ok(Published::new(folder, published).with_images(made.collect(), removed))
}

/// Refuses to fix an image where machines may boot another one later.
fn refuse_fixes(boots: &SlotRequest) -> Result<()> {
    if boots.policy.fixes_nothing() {
        return Ok(());
    }
    let found = "a fix is for the image that the tag names now, and --follow-tag may boot another one later";
    Err(usage(found, "fix the image itself, or omit --follow-tag"))
}

/// Images that were looked up, by the names of images and of hosts.
struct Found<'r> {
    images: BTreeMap<&'r String, oci::Image>,
    of_hosts: BTreeMap<&'r String, oci::Image>,
}

impl<'r> Found<'r> {
    fn of(
        request: &'r NetbootRequest,
        boots: &SlotRequest,
        delivery: &Delivery,
        session: Session,
    ) -> Result<Found<'r>> {
        let mut found = Found { images: BTreeMap::new(), of_hosts: BTreeMap::new() };
        for (name, reference) in &request.images {
            let image = look_up(reference, boots, Some(delivery), session).with_context(|| format!("image {name}"))?;
            delivery.refuse_unfollowable(&image).with_context(|| format!("image {name}"))?;
            found.images.insert(name, image);
        }
        for (name, host) in &request.hosts {
            if let Some(reference) = &host.layer {
                let image = look_up(reference, boots, None, session).with_context(|| format!("layer of {name}"))?;
                found.of_hosts.insert(name, image);
            }
        }
        Ok(found)
    }

    /// Returns the image of a host that has a layer, and the one that it boots.
    fn layer(&self, name: &String, host: &Host) -> Option<(&oci::Image, &oci::Image)> {
        self.of_hosts.get(name).zip(self.images.get(&host.image))
    }
}

/// Writes the boot loaders, and the configuration of dnsmasq.
fn put_loaders(request: &NetbootRequest, session: Session) -> Result<()> {
    let NetbootRequest { folder, url, loaders, .. } = request;
    for missing in loaders::put(folder, url, loaders, session.scratch)? {
        let text = format!(
            "{missing} is not here: only machines with iPXE in their firmware boot, or install the package ipxe"
        );
        session.progress.warn(None, &text);
    }
    let absolute = fs::canonicalize(folder).context("finding the folder")?;
    let of_dnsmasq = loaders::dnsmasq::configuration(&absolute, url, loaders);
    loaders::put_file(&folder.join("dnsmasq.conf"), of_dnsmasq.as_bytes())
}

/// Returns how every image boots: by flipslot's own initramfs, or dracut's.
fn boots(args: &NetbootArgs, config: &NetbootConfig) -> Result<SlotRequest> {
    let no_agent = args.no_agent || config.no_agent.unwrap_or(false);
    let write = WriteArgs { no_agent, ..WriteArgs::default() };
    let flags = SlotFlags { image: &args.boot, write: &write };
    let boots = SlotRequest::of(flags, &config.boots(), None, None)?.for_netboot()?;
    refuse_odd_words(boots.consoles.iter().chain([&boots.kargs]).map(String::as_str))?;
    Ok(boots)
}

/// Looks up an image; one that machines fetch themselves must be where the delivery takes it from.
fn look_up(reference: &str, boots: &SlotRequest, delivery: Option<&Delivery>, session: Session) -> Result<oci::Image> {
    let reference = oci::registries::Conf::find()?.reference(reference)?;
    delivery.map_or(Ok(()), |delivery| delivery.refuse_elsewhere(&reference))?;
    let _step = session.progress.step(None, "looking up the image", None);
    oci::resolve(&reference, &boots.platform, &boots.access)
}

/// Returns the folder of an image, which is made unless it is there, and if it is new. `how` it boots is by this request
/// and delivery, and by an initramfs that fetches it from the folder at this address, or holds it.
fn put(
    images: &Images,
    image: &oci::Image,
    how: (&SlotRequest, &Delivery, Option<&str>),
    session: Session,
) -> Result<(String, Described, bool)> {
    let (request, delivery, url) = how;
    // All that the files depend on, beside the image itself.
    let SlotRequest { consoles, kargs, policy, inventory, agent, initramfs, .. } = request;
    let program = Digest::of_stream(File::open("/proc/self/exe").context("opening this program's own file")?)?;
    let asked = (consoles, kargs, request.kernel(None), policy, (agent, initramfs), inventory, url, program.hex());
    // A registry is a part of the words, and its image may be in several.
    let registry = matches!(delivery, Delivery::Registry { .. }).then_some((&image.reference, delivery));
    let name = name_of(&image.digest, &format!("{:?} {asked:?} {registry:?}", delivery.format()));
    if let Some(described) = images.described(&name)? {
        return Ok((name, described, false));
    }
    let made = Origin::of_environment(&[])?.now();
    let address = url.map(|url| format!("{url}/{IMAGES}/{name}"));
    let job = NetbootJob { image, request, delivery, made, address, effort: Effort::Much };
    let described = images.add(&name, |folder| Ok(netboot::write(&job, folder, session)?.described))?;
    Ok((name, described, true))
}

/// Locks the folder, and makes it if it is not there: two runs at once would remove what the other writes.
fn locked(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let open = File::open(folder).with_context(|| format!("opening {}", folder.display()))?;
    lock(&open, folder, Patience::Refuse)?;
    Ok(open)
}
