//! `teller`: the operator adds and revokes tellers.
//!
//! Left out: the socket (`operator.rs`).

use std::path::PathBuf;

use bankd::wire::message::Operation;
use clap::{Args, Subcommand};

use crate::cli::support::failure::{Exit, Failure};
use crate::cli::support::operator::{OperatorOptions, operate};
use crate::cli::support::secrets::read_token;

/// `bankd teller`.
#[derive(Debug, Args)]
pub struct Teller {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a teller, a login that may use any account
    Add {
        /// Name of the new teller, 1 to 64 bytes of UTF-8
        name: String,
        /// File whose first line is the teller's token
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        #[command(flatten)]
        operator: OperatorOptions,
    },
    /// Revoke a teller: it can no longer log in, and its sessions are closed
    Revoke {
        /// Name of the teller
        name: String,
        #[command(flatten)]
        operator: OperatorOptions,
    },
}

impl Teller {
    /// Runs the subcommand, and prints the number of its log entry.
    pub fn run(self) -> Result<Exit, Failure> {
        match self.action {
            Action::Add { name, token_file, operator } => {
                let token = read_token(&token_file)?;
                operate(&operator, "cannot add the teller", Operation::AddTeller { name, token })
            }
            Action::Revoke { name, operator } => operate(&operator, "cannot revoke the teller", Operation::RevokeTeller { name }),
        }
    }
}
