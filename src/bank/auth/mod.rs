//! Authentication: the key, credential tags of PINs and tokens, tellers, and failed logins.

pub mod credential;
pub(super) mod logins;
pub(super) mod tellers;
