//! The variant numbers of the messages that are encoded or decoded by hand. They are part of the protocol.
//!
//! Left out: the numbers of all other messages, which follow the order of the enums in `message.rs`.

/// The number of `Ask::Request`.
pub const ASK_REQUEST: u32 = 4;
/// The number of `Ask::Run`.
pub const ASK_RUN: u32 = 5;
/// The number of `Ask::Balance`.
pub const ASK_BALANCE: u32 = 10;
/// The number of `Reply::Answer`.
pub const REPLY_ANSWER: u32 = 3;
/// The number of `Reply::RunAnswer`.
pub const REPLY_RUN: u32 = 4;
/// The number of `Reply::Balance`.
pub const REPLY_BALANCE: u32 = 8;
/// The number of `RunItem::Answer`.
pub const ITEM_ANSWER: u32 = 0;
/// The number of `RunItem::Refused`.
pub const ITEM_REFUSED: u32 = 1;
