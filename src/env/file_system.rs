//! Maps the file-system magic numbers of Linux to [`FileSystem`].
//!
//! Left out: the consequences (`engine/filesystem_check.rs`).

use super::FileSystem;

/// The kind of the file system that `system` describes.
pub(super) fn of(system: &rustix::fs::StatFs) -> FileSystem {
    // The field's width and sign differ between architectures; the magic numbers have 32 bits.
    u32::try_from(system.f_type & 0xFFFF_FFFF).map_or(FileSystem::Local, kind_of)
}

/// The kind of file system for a magic number.
const fn kind_of(magic: u32) -> FileSystem {
    match magic {
        0x0102_1994 => FileSystem::Memory("tmpfs"),
        0x8584_58F6 => FileSystem::Memory("ramfs"),
        0x0000_6969 => FileSystem::Network("NFS"),
        0xFF53_4D42 | 0xFE53_4D42 | 0x0000_517B => FileSystem::Network("SMB"),
        0x00C3_6400 => FileSystem::Network("Ceph"),
        0x5346_414F | 0x6B41_4653 => FileSystem::Network("AFS"),
        0x7375_7245 => FileSystem::Network("Coda"),
        0x0BD0_0BD0 => FileSystem::Network("Lustre"),
        0x4750_4653 => FileSystem::Network("GPFS"),
        0x0000_564C => FileSystem::Network("NCP"),
        0x1983_0326 => FileSystem::Network("BeeGFS"),
        0x0102_1997 => FileSystem::PassedThrough("9p"),
        0x6573_5546 => FileSystem::PassedThrough("FUSE"),
        0x786F_4256 => FileSystem::PassedThrough("vboxsf"),
        0x9123_683E => FileSystem::CopyOnWrite("btrfs"),
        0xCA45_1A4E => FileSystem::CopyOnWrite("bcachefs"),
        0x2FC1_2FC1 => FileSystem::CopyOnWrite("zfs"),
        _ => FileSystem::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_numbers() {
        assert_eq!(kind_of(0xEF53), FileSystem::Local);
        assert_eq!(kind_of(0xFF53_4D42), FileSystem::Network("SMB"), "a number with the highest bit");
        assert_eq!(kind_of(0x9123_683E), FileSystem::CopyOnWrite("btrfs"));
    }
}
