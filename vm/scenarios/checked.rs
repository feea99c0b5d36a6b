//! A server looks at its slots: the one that runs is found whole, and one that was written for another
//! machine is not jumped into. The record of the latter has the form in which flipslot 0.1 wrote it.

use crate::disks;
use crate::inventories;
use crate::saved;
use flipslot::hardware::Inventory;

#[test]
fn a_slot_without_a_driver_for_this_machine_is_refused_unless_that_is_allowed() {
    let disk = saved::disk("checked");
    disks::flash_b(&disk, &["--hardware", &inventories::ahci_alone().to_string_lossy()]);
    disks::age_record(&disk, 'b');
    let mut machine = saved::resume("checked", &disk);

    let said = machine.run("flipslot switch --slot b --dry-run; echo code $?");
    assert!(said.contains("virtio_blk is only in the root filesystem") && said.contains("[driver-missing]"), "{said}");
    assert!(said.contains("flash REFERENCE --slot b --hardware this") && said.contains("code 3"), "{said}");
    let said = machine.run("flipslot switch --slot b --dry-run --allow driver-missing; echo code $?");
    assert!(said.contains("would jump from slot a into slot b") && said.contains("code 0"), "{said}");

    let said = machine.run("flipslot check --slot a --json 2>/dev/null");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    let findings = said["findings"].as_array().expect("it says what it found");
    assert!(
        findings.iter().all(|found| found["severity"] == "warning"),
        "the running slot has no error: {findings:#?}"
    );
    let text = machine.run("flipslot hardware");
    let inventory = Inventory::parse(&text, "stdout").unwrap_or_else(|error| panic!("{error:#}: {text}"));
    assert_eq!(inventory.disks.iter().map(|disk| disk.name.as_str()).collect::<Vec<_>>(), ["vda"]);
    assert_eq!(inventory.consoles, ["ttyS0"]);
}
