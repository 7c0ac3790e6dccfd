//! The bank's image: a canonical serialization of its whole state.
//!
//! Equal states have equal images: accounts and tellers are ordered by id, sessions by last use, login failures by owner;
//! nothing depends on the order of a hash table. Reading checks every count before allocating memory for it, and every
//! invariant of the bank; the caller supplies the expected length and digest. `docs/checkpoint-format.md` describes the
//! layout byte by byte. Left out: files (`engine/`), the section of sessions and replies (`sessions.rs`), and the streams
//! (`stream.rs`).

mod sessions;
mod stream;

use std::io::{self, Read, Write};

pub use stream::{ImageDigest, ImageError};
use stream::{ImageReader, ImageWriter};

use super::accounts::Money;
use super::digest::Digest;
use super::{Bank, Genesis};
use crate::model::amount::MAX_DECIMALS;
use crate::model::entry::Setting;
use crate::model::types::{AccountId, BankTime, Epoch, Lineage, Lsn, Owner, TellerId};

/// The format version written.
pub const IMAGE_VERSION: u16 = 2;
/// The previous version, which is still read: the same layout without the starts.
const VERSION_WITHOUT_STARTS: u16 = 1;

const MAGIC: [u8; 8] = *b"BKDIMAGE";
/// The minimal sizes of an account, a teller, a setting, a login's failures and a start, in bytes.
const LEAST_ACCOUNT: u64 = 1 + 8 + 52 + 2;
const LEAST_TELLER: u64 = 1 + 52 + 2;
const SETTING: u64 = 2 + 8;
const FAILURES: u64 = 5 + 8 + 1 + 32;
const START: u64 = 8 + 8;

/// The image.
impl Bank {
    /// Writes the image to `out` in chunks of up to 256 KiB. Returns its length and digest.
    ///
    /// # Errors
    /// Any error of `out`.
    pub fn write_image(&self, out: &mut dyn Write) -> io::Result<ImageDigest> {
        let mut out = ImageWriter::new(out);
        self.write_head(&mut out)?;
        self.write_accounts(&mut out)?;
        self.write_tellers(&mut out)?;
        sessions::write(&self.sessions, &mut out)?;
        self.write_failures(&mut out)?;
        out.finish()
    }

    /// Reads the image of the expected length and digest from `input`.
    ///
    /// # Errors
    /// [`ImageError`] for anything but the output of [`Bank::write_image`], and for errors of `input`.
    pub fn read_image(input: &mut dyn Read, expected: &ImageDigest) -> Result<Self, ImageError> {
        let mut input = ImageReader::new(input, expected);
        let (mut bank, cash) = read_head(&mut input)?;
        bank.read_accounts(&mut input)?;
        bank.read_tellers(&mut input)?;
        sessions::read(&mut bank, &mut input)?;
        bank.read_failures(&mut input)?;
        input.finish()?;
        // Compare the cash in the image with the sum of the balances.
        if bank.accounts.cash() != cash || bank.accounts.recount() != cash {
            return Err(ImageError::whole("cash is not the sum of the balances"));
        }
        if bank.genesis.is_none() && bank != Self::new() {
            return Err(ImageError::whole("something happened before the genesis"));
        }
        Ok(bank)
    }

    fn write_head(&self, out: &mut ImageWriter<'_>) -> io::Result<()> {
        let (flag, decimals, key_check) = match &self.genesis {
            None => (0, 0, [0; 32]),
            Some(genesis) => (1, genesis.decimals, genesis.key_check),
        };
        out.put(&MAGIC)?;
        out.u16(IMAGE_VERSION)?;
        out.put(&[flag, decimals])?;
        out.put(&key_check)?;
        out.u64(self.lineage().0)?;
        out.u64(self.applied.0)?;
        out.u64(self.time.0)?;
        out.u64(self.digest.get())?;
        out.put(&self.accounts.cash().to_le_bytes())?;
        out.count(Setting::ALL.len())?;
        for setting in Setting::ALL {
            out.u16(setting.code())?;
            out.u64(self.settings.get(setting))?;
        }
        out.count(self.epochs.starts().len())?;
        for (lsn, epoch) in self.epochs.starts() {
            out.u64(lsn.0)?;
            out.u64(epoch.0)?;
        }
        Ok(())
    }

    fn write_accounts(&self, out: &mut ImageWriter<'_>) -> io::Result<()> {
        out.u32(self.account_count())?;
        for id in (0..self.account_count()).map(AccountId) {
            let parts = (self.accounts.get(id), self.accounts.tag(id), self.accounts.name(id));
            assert!(parts.0.is_some() && parts.1.is_some() && parts.2.is_some(), "ids are dense");
            let (Some(money), Some(tag), Some(name)) = parts else { continue };
            out.put(&[u8::from(money.closed) | u8::from(money.locked) << 1])?;
            out.u64(money.balance.get())?;
            out.tag(tag)?;
            out.name(name)?;
        }
        Ok(())
    }

    fn read_accounts(&mut self, input: &mut ImageReader<'_>) -> Result<(), ImageError> {
        let count = input.count(LEAST_ACCOUNT)?;
        self.accounts.reserve(super::index(count));
        for id in (0..count).map(AccountId) {
            let flags = input.u8()?;
            let balance = input.amount()?;
            let tag = input.tag()?;
            let (closed, locked) = (flags & 1 != 0, flags & 2 != 0);
            if flags > 3 || closed && balance.get() != 0 {
                return Err(input.bad("an account in a state that none can have"));
            }
            let offset = input.offset();
            let name = input.name()?;
            if self.accounts.find(name).is_some() {
                return Err(ImageError::Damaged { offset, what: "a second account of the same name" });
            }
            self.accounts.add(id, name, tag, Money { balance, closed, locked });
        }
        Ok(())
    }

    fn write_tellers(&self, out: &mut ImageWriter<'_>) -> io::Result<()> {
        out.u32(self.teller_count())?;
        for id in (0..self.teller_count()).map(TellerId) {
            let parts = (self.tellers.get(id), self.tellers.name(id));
            assert!(parts.0.is_some() && parts.1.is_some(), "ids are dense");
            let (Some(teller), Some(name)) = parts else { continue };
            out.put(&[u8::from(teller.revoked)])?;
            out.tag(&teller.tag)?;
            out.name(name)?;
        }
        Ok(())
    }

    fn read_tellers(&mut self, input: &mut ImageReader<'_>) -> Result<(), ImageError> {
        for id in (0..input.count(LEAST_TELLER)?).map(TellerId) {
            let revoked = input.flag()?;
            let tag = input.tag()?;
            let offset = input.offset();
            let name = input.name()?;
            if self.tellers.find(name).is_some() {
                return Err(ImageError::Damaged { offset, what: "a second teller of the same name" });
            }
            self.tellers.add(id, name, tag);
            if revoked {
                self.tellers.revoke(id);
            }
        }
        Ok(())
    }

    fn write_failures(&self, out: &mut ImageWriter<'_>) -> io::Result<()> {
        let failures = self.logins.by_owner();
        out.count(failures.len())?;
        for (owner, count, locked, last_wrong) in failures {
            out.owner(owner)?;
            out.u64(count)?;
            out.put(&[u8::from(locked)])?;
            out.put(last_wrong)?;
        }
        Ok(())
    }

    fn read_failures(&mut self, input: &mut ImageReader<'_>) -> Result<(), ImageError> {
        let mut before = None;
        for _ in 0..input.count(FAILURES)? {
            let owner = input.owner()?;
            let count = input.u64()?;
            let locked = input.flag()?;
            let last_wrong = input.array()?;
            // Closing an account or revoking a teller clears the failures.
            let may_fail = match owner {
                Owner::Customer(id) => self.accounts.get(id).is_some_and(|money| !money.closed),
                Owner::Teller(id) => self.tellers.get(id).is_some_and(|teller| !teller.revoked),
                Owner::Nobody | Owner::Operator(_) => false,
            };
            if !may_fail || count == 0 || before.is_some_and(|before| before >= owner) {
                return Err(input.bad("impossible counts of failed logins, or out of order"));
            }
            before = Some(owner);
            self.logins.restore(owner, count, locked, last_wrong);
        }
        Ok(())
    }
}

/// Reads the head of an image, up to the starts. Returns also the cash that it states.
fn read_head(input: &mut ImageReader<'_>) -> Result<(Bank, u128), ImageError> {
    if input.array()? != MAGIC {
        return Err(input.bad("it does not begin as an image does"));
    }
    let version = input.u16()?;
    if !(VERSION_WITHOUT_STARTS..=IMAGE_VERSION).contains(&version) {
        return Err(ImageError::Version(version));
    }
    let mut bank = Bank::new();
    let has_genesis = input.flag()?;
    let genesis = Genesis { decimals: input.u8()?, key_check: input.array()? };
    if genesis.decimals > MAX_DECIMALS {
        return Err(input.bad("more decimals than an amount has"));
    }
    if has_genesis {
        bank.genesis = Some(genesis);
    } else if genesis != (Genesis { decimals: 0, key_check: [0; 32] }) {
        return Err(input.bad("a genesis that is none"));
    }
    bank.epochs.draw(Lineage(input.u64()?));
    bank.applied = Lsn(input.u64()?);
    bank.time = BankTime(input.u64()?);
    bank.digest = Digest::restore(input.u64()?);
    if has_genesis != (bank.applied.0 > 0) {
        return Err(input.bad("entries without a genesis, or a genesis without an entry"));
    }
    let cash = u128::from_le_bytes(input.array()?);
    let mut before = 0;
    for _ in 0..input.count(SETTING)? {
        let (code, value) = (input.u16()?, input.u64()?);
        let setting = Setting::ALL.into_iter().find(|setting| setting.code() == code && code > before);
        if !setting.is_some_and(|setting| bank.settings.set(setting, value)) {
            return Err(input.bad("a setting that is unknown, out of range or out of order"));
        }
        before = code;
    }
    if version > VERSION_WITHOUT_STARTS {
        for _ in 0..input.count(START)? {
            let (lsn, epoch) = (Lsn(input.u64()?), Epoch(input.u64()?));
            if !(1..=bank.applied.0).contains(&lsn.0) || !bank.epochs.start(lsn, epoch) {
                return Err(input.bad("a start out of its time"));
            }
        }
    }
    Ok((bank, cash))
}
