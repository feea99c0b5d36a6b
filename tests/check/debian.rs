//! Real images, as a distribution made them.

use crate::cli::images;
use crate::support::program::flipslot;
use serde_json::Value;

#[test]
fn no_error_is_found_in_an_unmodified_debian() {
    let folder = tempfile::tempdir().unwrap();
    for release in ["bullseye", "bookworm", "trixie"] {
        let image = format!("oci:{}:latest", images::debian_called(release).display());
        for machine in ["qemu", "generic"] {
            let run = flipslot(folder.path(), &["check", &image, "--hardware", machine, "--progress=none", "--json"]);
            let printed: Value = serde_json::from_str(&run.stdout).expect("check prints one JSON document");
            let findings = printed["findings"].as_array().unwrap();
            let errors: Vec<&Value> = findings.iter().filter(|found| found["severity"] == "error").collect();
            assert!(errors.is_empty(), "{release} on {machine}: {errors:#?}");
            // The recipe of the VM tests installs no network and no ssh.
            let rules: Vec<&Value> = findings.iter().map(|found| &found["rule"]).collect();
            assert_eq!(rules, ["reachable"], "{release} on {machine}");
            assert_eq!(run.code, 0, "a warning alone passes");
            assert_eq!(printed["devices"].as_array().unwrap().is_empty(), machine == "generic");
        }
    }
}
