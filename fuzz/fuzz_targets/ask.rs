//! Any bytes as a message, once as a client's and once as the bank's. What decodes has exactly these bytes; and what
//! is read by hand is what the codec reads, and all that it reads of these messages.
#![no_main]

use bankd::model::codec;
use bankd::wire::fixed::asks;
use bankd::wire::message::{Ask, MAX_RUN, Reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut again = Vec::new();
    if let Ok(ask) = codec::decode::<Ask>(bytes) {
        assert!(codec::encode_into(&ask, &mut again).is_ok() && again == bytes);
    }
    let mut commands = Vec::new();
    let run = asks::run(bytes, &mut commands);
    let by_hand = asks::ask(bytes).or_else(|| run.map(|(first, acked_below)| Ask::Run { first, acked_below, commands }));
    let is_hot = |ask: &Ask| match ask {
        Ask::Run { commands, .. } => commands.len() <= MAX_RUN,
        ask => matches!(ask, Ask::Request { .. } | Ask::Balance { .. }),
    };
    assert_eq!(by_hand, codec::decode(bytes).ok().filter(is_hot));
    again.clear();
    if let Ok(reply) = codec::decode::<Reply>(bytes) {
        assert!(codec::encode_into(&reply, &mut again).is_ok() && again == bytes);
    }
});
