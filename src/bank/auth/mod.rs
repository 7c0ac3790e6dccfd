//! Who may act: the key, the tags of PINs and tokens, tellers, and the count of failed logins.

pub mod credential;
pub(super) mod logins;
pub(super) mod tellers;
