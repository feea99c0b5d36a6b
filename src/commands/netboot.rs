//! `flipslot netboot`: OCI images in, a folder out from which machines boot by PXE.

use crate::build::session::Session;
use crate::cli::{NetbootArgs, WriteArgs};
use crate::error::{Result, refused};
use crate::forms::netboot::boot::Boot;
use crate::forms::netboot::delivery::Delivery;
use crate::forms::netboot::hosts::Hosts;
use crate::forms::netboot::images::{IMAGES, Images, name_of};
use crate::forms::netboot::{self, NetbootJob, loaders};
use crate::mount::lock::{Patience, lock};
use crate::mount::scratch::Scratch;
use crate::oci;
use crate::output::document::Format;
use crate::output::netboot::{Published, PublishedHost, PublishedImage};
use crate::output::print::print;
use crate::progress::Progress;
use crate::publish::described::Described;
use crate::request::config::Config;
use crate::request::netboot::{NetbootRequest, refuse_odd_words};
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

/// Writes images and hosts into a folder; or lets a host go back.
pub fn run(args: &NetbootArgs) -> Result<()> {
    let begin = Instant::now();
    let progress = Progress::new(args.boot.fetch.progress);
    let request = NetbootRequest::of(args)?;
    let format = Format::of(args.boot.fetch.json);
    let folder = request.folder.as_path();
    if args.rollback.is_some() && !folder.is_dir() {
        return Err(refused(format!("there is no folder {}", folder.display()), "name the folder of an earlier run"));
    }
    let boots = boots(args)?;
    umask(Mode::WGRP | Mode::WOTH); // servers run as other users
    let _locked = locked(folder)?;
    let hosts = Hosts::open(folder, &request.url)?;
    if let Some(name) = &args.rollback {
        let boot = hosts.roll_back(name)?;
        let host = PublishedHost { host: name.clone(), image: boot.image, changed: true };
        return print(&Published::new(folder, vec![host]).took(begin.elapsed()), format);
    }
    oci::trust::bundle_if_none()?;
    let delivery = Delivery::of(args.format, &boots.access.plain_http)?;
    let session = Session { scratch: &Scratch::enter()?, progress: &progress };
    hosts.images()?; // a damaged host is told before anything is written
    request.hosts.iter().try_for_each(|(name, host)| hosts.refuse_taken(name, host))?;
    let images = Images::open(folder)?;
    let mut found = Vec::new();
    for (name, reference) in &request.images {
        found.push((name, look_up(reference, &boots, &delivery, session).with_context(|| format!("image {name}"))?));
    }
    let mut made = BTreeMap::new();
    for (name, image) in found {
        let url = (!args.embed).then_some(request.url.as_str());
        let put = put(&images, &image, (&boots, &delivery, url), session);
        made.insert(name, put.with_context(|| format!("image {name}"))?);
    }
    for missing in loaders::put(folder, &request.url, &args.loader, session.scratch)? {
        let text = format!(
            "{missing} is not here: only machines with iPXE in their firmware boot, or install the package ipxe"
        );
        progress.warn(None, &text);
    }
    let absolute = fs::canonicalize(folder).context("finding the folder")?;
    let of_dnsmasq = loaders::dnsmasq::configuration(&absolute, &request.url, &args.loader);
    loaders::put_file(&folder.join("dnsmasq.conf"), of_dnsmasq.as_bytes())?;
    let mut published = Vec::new();
    for (name, host) in &request.hosts {
        let Some((folder, described, _)) = made.get(&host.image) else { continue };
        let changed = hosts.publish(host, &Boot::new(name, folder, &described.cmdline))?;
        published.push(PublishedHost { host: name.clone(), image: folder.clone(), changed });
    }
    let mut used = hosts.images()?;
    used.extend(made.values().map(|(folder, ..)| folder.clone()));
    let removed = images.remove_unused(&used, request.keep)?;
    let made = made.into_iter().map(|(name, (folder, described, is_new))| PublishedImage {
        name: name.clone(),
        folder,
        is_new,
        described,
    });
    print(&Published::new(folder, published).with_images(made.collect(), removed).took(begin.elapsed()), format)
}

/// Returns how every image boots: by flipslot's own initramfs.
fn boots(args: &NetbootArgs) -> Result<SlotRequest> {
    let write = WriteArgs { no_agent: args.no_agent, ..WriteArgs::default() };
    let flags = SlotFlags { image: &args.boot, write: &write };
    let boots = SlotRequest::of(flags, &Config::of(&args.boot)?, None, None)?.for_netboot()?;
    refuse_odd_words(boots.consoles.iter().chain([&boots.kargs]).map(String::as_str))?;
    Ok(boots)
}

fn look_up(reference: &str, boots: &SlotRequest, delivery: &Delivery, session: Session) -> Result<oci::Image> {
    let reference = oci::registries::Conf::find()?.reference(reference)?;
    delivery.refuse_elsewhere(&reference)?;
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
    let SlotRequest { consoles, kargs, policy, inventory, agent, .. } = request;
    let program = Digest::of_stream(File::open("/proc/self/exe").context("opening this program's own file")?)?;
    let asked = (consoles, kargs, request.kernel(None), policy, agent, inventory, url, program.hex());
    // A registry is a part of the words, and its image may be in several.
    let registry = matches!(delivery, Delivery::Registry { .. }).then_some((&image.reference, delivery));
    let name = name_of(&image.digest, &format!("{:?} {asked:?} {registry:?}", delivery.format()));
    if let Some(described) = images.described(&name)? {
        return Ok((name, described, false));
    }
    let made = Origin::of_environment(&[])?.now();
    let address = url.map(|url| format!("{url}/{IMAGES}/{name}"));
    let job = NetbootJob { image, request, delivery, made, address };
    let described = images.add(&name, |folder| netboot::write(&job, folder, session))?;
    Ok((name, described, true))
}

/// Locks the folder, and makes it if it is not there: two runs at once would remove what the other writes.
fn locked(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let open = File::open(folder).with_context(|| format!("opening {}", folder.display()))?;
    lock(&open, folder, Patience::Refuse)?;
    Ok(open)
}
