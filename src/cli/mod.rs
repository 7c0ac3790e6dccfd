//! tmp
pub mod accounts_file;
pub mod failure;
pub mod init;
pub mod logging;
pub mod serve;
pub mod store_paths;
use clap::Parser;
#[derive(Parser)]
enum C {
    Serve(serve::Serve),
    Init(init::Init),
}
pub fn tmp() {
    let r = match C::parse() {
        C::Serve(s) => s.run(),
        C::Init(i) => i.run(),
    };
    if let Err(e) = r {
        eprintln!("bankd: {e}");
        std::process::exit(e.exit as i32)
    }
}
