//! The current settings: values from the log, and defaults for the others.
//!
//! Left out: their meanings and ranges (`entry/setting.rs`).

use crate::model::entry::Setting;

/// One value for each setting, in the order of [`Setting::ALL`]. Invariant: each is within its setting's range.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings([u64; Setting::ALL.len()]);

impl Settings {
    /// The current value.
    pub(super) fn get(&self, setting: Setting) -> u64 {
        self.0.get(place(setting)).copied().unwrap_or(setting.default_value())
    }

    /// Sets a value. Returns false, without effect, if it is out of range.
    pub(super) fn set(&mut self, setting: Setting, value: u64) -> bool {
        let (low, high) = setting.range();
        match self.0.get_mut(place(setting)) {
            Some(kept) if (low..=high).contains(&value) => {
                *kept = value;
                true
            }
            _ => false,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self(Setting::ALL.map(Setting::default_value))
    }
}

/// The index of a setting: numbers on disk are dense from 1, in the order of [`Setting::ALL`].
fn place(setting: Setting) -> usize {
    usize::from(setting.code().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_a_place_of_its_own() {
        let mut settings = Settings::default();
        for (step, setting) in Setting::ALL.into_iter().enumerate() {
            assert_eq!(settings.get(setting), setting.default_value());
            let value = setting.range().0 + step as u64;
            assert!(settings.set(setting, value));
        }
        for (step, setting) in Setting::ALL.into_iter().enumerate() {
            assert_eq!(settings.get(setting), setting.range().0 + step as u64);
        }
    }

    #[test]
    fn both_ends_are_in_range_and_nothing_beyond() {
        for setting in Setting::ALL {
            let (low, high) = setting.range();
            let mut settings = Settings::default();
            assert!(settings.set(setting, low) && settings.set(setting, high));
            assert!(!settings.set(setting, low - 1) && !settings.set(setting, high + 1));
            assert_eq!(settings.get(setting), high);
        }
    }
}
