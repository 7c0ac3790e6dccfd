//! Shared by several commands: options, output, failures, prompts, progress.

pub(super) mod accounts_file;
pub(super) mod durations;
pub(super) mod failure;
pub(super) mod logging;
pub(super) mod operator;
pub(super) mod options;
pub(super) mod output;
pub(super) mod progress;
pub(super) mod secrets;
pub(super) mod statement_lines;
pub(super) mod store_paths;
pub(super) mod times;
pub(super) mod undelivered;
