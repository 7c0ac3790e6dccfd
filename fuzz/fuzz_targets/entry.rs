//! Any bytes as a log entry. What decodes has exactly these bytes.
#![no_main]

use bankd::entry::{Entry, MAX_ENTRY};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = Entry::decode(bytes) {
        let mut again = Vec::new();
        entry.encode_into(&mut again);
        assert!(again == bytes && bytes.len() <= MAX_ENTRY);
    }
});
