//! Any bytes as a message, once as a client's and once as the bank's. What decodes has exactly these bytes.
#![no_main]

use bankd::codec;
use bankd::wire::message::{Ask, Reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut again = Vec::new();
    if let Ok(ask) = codec::decode::<Ask>(bytes) {
        assert!(codec::encode_into(&ask, &mut again).is_ok() && again == bytes);
    }
    again.clear();
    if let Ok(reply) = codec::decode::<Reply>(bytes) {
        assert!(codec::encode_into(&reply, &mut again).is_ok() && again == bytes);
    }
});
