//! Any bytes as a log entry, and as several that share a record. What decodes has exactly these bytes.
#![no_main]

use bankd::model::entry::{Action, Entry, MAX_ENTRY};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = Entry::decode(bytes) {
        let mut again = Vec::new();
        entry.encode_into(&mut again);
        assert!(again == bytes && bytes.len() <= MAX_ENTRY);
    }
    let Some((&count, bytes)) = bytes.split_first() else { return };
    if let Ok(entries) = Entry::all(bytes, u32::from(count)).collect::<Result<Vec<_>, _>>() {
        let mut again = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            match entry.action {
                Action::Request(command) if index > 0 => command.encode_into(&mut again),
                _ => entry.encode_into(&mut again),
            }
        }
        assert!(entries.len() == usize::from(count) && again == bytes || count == 0);
    }
});
