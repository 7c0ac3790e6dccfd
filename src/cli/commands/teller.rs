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
    /// Adds a teller, who may act for any account
    Add {
        /// Its name
        name: String,
        /// The file with its token in the first line
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        #[command(flatten)]
        operator: OperatorOptions,
    },
    /// Revokes a teller: no login any more, its sessions are closed
    Revoke {
        /// Its name
        name: String,
        #[command(flatten)]
        operator: OperatorOptions,
    },
}

impl Teller {
    /// Does it, and prints the log entry that did it.
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
