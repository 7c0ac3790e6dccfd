//! Any bytes as the front of a connection's buffer. What is a whole frame is the frame that its payload makes.
#![no_main]

use bankd::wire::frame::{self, Front};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match frame::front(bytes) {
        Ok(Front::Whole { payload, consumed }) => {
            assert!((1..=frame::MAX_PAYLOAD).contains(&payload.len()));
            assert_eq!(consumed, frame::HEADER + payload.len());
            assert!(matches!(frame::front(&bytes[..consumed - 1]), Ok(Front::Incomplete(1))));
        }
        Ok(Front::Incomplete(more)) => assert!(more > 0 && bytes.len() + more <= frame::HEADER + frame::MAX_PAYLOAD),
        Err(_) => {}
    }
});
