//! A registry that hands out an old image under a signed tag.

use crate::cli::images;
use crate::support::disk::Disk;
use crate::support::layout::ImageLayout;
use crate::support::push::Repository;
use crate::support::signing::KeyPair;
use crate::support::upstream::Upstream;
use serde_json::json;

#[test]
fn a_signed_tag_is_not_taken_back_in_time() {
    let upstream = Upstream::start();
    let folder = upstream.folder.path();
    let key = KeyPair::p256(folder, "cosign");
    let repository = Repository { host: &upstream.address, name: "os/server" };
    let name = format!("{}/os/server", upstream.address);
    let publish = |mut image: ImageLayout, created: &str| {
        image.config["created"] = json!(created);
        let layout = folder.join(&created[..10]); // a colon would end the path
        image.write(&layout, "1");
        upstream.push(&layout, "os/server:12");
        let digest = repository.digest("12");
        key.sign_as_tag(&repository, &digest, &name, &digest);
        digest
    };
    let disk = Disk::with(&images::debian());
    let reference = format!("docker://{name}:12");
    let verify = format!("--verify-key={}", key.public());

    publish(ImageLayout::over(&images::debian(), &[]), "2026-02-01T00:00:00Z");
    disk.flash(&reference, "b", &[&verify]).must_end(0, &[]);
    let slot = &disk.status()["slots"][1];
    assert_eq!((&slot["created"], &slot["signed_by"]), (&json!("2026-02-01T00:00:00Z"), &json!([key.public()])));

    let old = publish(images::no_kernel(), "2026-01-01T00:00:00.5Z");
    let texts = ["is now an image of 2026-01-01T00:00:00Z", "slot b holds one of 2026-02-01T00:00:00Z", "older-image"];
    disk.flash(&reference, "b", &[&verify]).must_end(3, &texts);
    assert_eq!(disk.status()["slots"][1]["holds"], "image", "nothing was written");
    // By its digest, somebody has chosen it; and a newer one is as welcome as ever.
    disk.flash(&format!("docker://{name}@{old}"), "b", &[&verify, "--dry-run"]).must_end(0, &[]);
    disk.flash(&reference, "b", &[&verify, "--dry-run", "--allow=older-image"]).must_end(0, &[]);
    publish(images::no_kernel(), "2026-03-01T00:00:00Z");
    disk.flash(&reference, "b", &[&verify, "--dry-run"]).must_end(0, &[]);
}
