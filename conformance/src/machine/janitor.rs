//! A process that cleans up once its test is gone, however that ended.
//!
//! A test may be killed, and statics are never dropped; a mount would outlive both. The janitor waits for the end of a
//! pipe that only the test's process holds.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Stdio},
};

use super::command;

#[derive(Debug)]
pub(super) struct Janitor(Child);

impl Janitor {
    /// When this process has ended, or the janitor is dropped, `mounted` comes off and `directory` goes.
    pub(super) fn hire(mounted: &Path, directory: &Path) -> Result<Janitor, String> {
        // A loop device that was never mounted would keep the image, under no name, for ever.
        let script = "cat > /dev/null; umount \"$0\" || umount -l \"$0\"; \
                      losetup -j \"$1/image\" -nO NAME | xargs -r losetup -d; rm -rf \"$1\"";
        let mut sh = command("sh");
        sh.args(["-c", script]).arg(mounted).arg(directory);
        // A signal to the test's process group must not reach it, and nobody must wait for its output.
        sh.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        sh.spawn().map(Janitor).map_err(|error| format!("sh: {error}"))
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _it_has_done_what_it_could = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::machine::{FileSystem, LoopDisk, program::answer, skip};

    #[test]
    fn a_loop_device_that_was_never_mounted_is_let_go_of() {
        let test = "a_loop_device_that_was_never_mounted_is_let_go_of";
        if let Err(reason) = LoopDisk::new(FileSystem::Ext4, 64) {
            return skip(test, FileSystem::Ext4.probe(), &reason);
        }
        let directory = tempfile::tempdir().unwrap().keep();
        let image = directory.join("image");
        File::create(&image).unwrap().set_len(1 << 20).unwrap();
        let janitor = Janitor::hire(&directory.join("mounted"), &directory).unwrap();
        answer("losetup", [Path::new("--find"), &image]).unwrap();
        let held = || answer("losetup", ["--list", "-nO", "BACK-FILE"]).unwrap().contains(directory.to_str().unwrap());
        assert!(held(), "no device holds the image");
        drop(janitor);
        // Who looks at new devices may hold one a moment longer.
        let gone = (0..300).any(|_| {
            let gone = !held();
            std::thread::sleep(std::time::Duration::from_millis(if gone { 0 } else { 100 }));
            gone
        });
        assert!(gone, "a device holds the image still");
        assert!(!directory.exists());
    }
}
