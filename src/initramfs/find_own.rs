//! Finds the initramfs that an image brings for its kernel.

use crate::kernel::find::Kernel;
use crate::root::tree::Tree;

/// Lists the paths at which a tree has an initramfs for a kernel: in `/boot` (Debian, Fedora, SUSE), beside the
/// modules (Fedora, ostree), beside the kernel (kernel-install(8)).
fn paths(tree: &dyn Tree, kernel: &Kernel) -> Vec<String> {
    let version = &kernel.version;
    let mut paths: Vec<String> = ["initrd.img-", "initramfs-", "initrd-"]
        .iter()
        .flat_map(|start| [format!("boot/{start}{version}"), format!("boot/{start}{version}.img")])
        .collect();
    let folders = [format!("usr/lib/modules/{version}"), format!("lib/modules/{version}")];
    let beside = kernel.path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    for folder in folders.into_iter().chain(beside) {
        paths.extend(["initramfs.img", "initramfs", "initrd"].map(|name| format!("{folder}/{name}")));
    }
    paths.retain(|path| tree.has_file(path));
    paths
}

/// Returns the path of the initramfs that an image brings for a kernel, if it brings one.
pub fn of_image(tree: &dyn Tree, kernel: &Kernel) -> Option<String> {
    paths(tree, kernel).into_iter().next()
}
