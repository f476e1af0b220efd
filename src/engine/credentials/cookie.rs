//! Bitcoin's cookie: user and password in a file that the node writes anew at each start. Whether it is the file of
//! before is looked at for every request, by a call that costs a microsecond; it is read when it is not.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::file::{self, Stamp};
use super::scrub::Scrubber;
use super::{Secret, header, invalid};
use crate::engine::error::Result;

/// How many cookies are remembered: the node may restart while requests with the one before are under way.
const REMEMBERED: usize = 2;

/// The cookies of one file: the one of now, and those that may turn up in what a server says.
#[derive(Debug, Default)]
pub(super) struct Cookies(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    current: Option<(Stamp, Secret)>,
    known: Vec<Scrubber>,
}

impl Cookies {
    /// The header's value for a request at `now`.
    ///
    /// # Errors
    /// `InvalidCredentials` if the file cannot be read now or holds something else.
    pub(super) fn value(&self, path: &Secret, now: SystemTime) -> Result<Secret> {
        let wrong = |reason| invalid(format!("cookie_file {reason}"));
        let stamp = Stamp::of(path).map_err(wrong)?;
        if let Some((known, value)) = &self.lock().current
            && *known == stamp
        {
            return Ok(value.clone());
        }
        let pair = file::read(path).map_err(wrong)?;
        let Some((username, password)) = pair.expose().split_once(':') else {
            return Err(invalid("cookie_file names a file that does not hold user:password"));
        };
        let value = header::basic(username, password);
        let mut state = self.lock();
        state.learn(&value);
        // A file that was written just now may be written again without a look that differs.
        state.current = stamp.is_settled(now).then(|| (stamp, value.clone()));
        Ok(value)
    }

    /// The text without the cookies.
    pub(super) fn scrub(&self, text: String) -> String {
        self.lock().known.iter().fold(text, |text, cookie| cookie.scrub(&text))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn learn(&mut self, value: &Secret) {
        let mut scrubber = Scrubber::default();
        scrubber.learn_header(value.expose());
        if self.known.last() != Some(&scrubber) {
            self.known.push(scrubber);
            let surplus = self.known.len().saturating_sub(REMEMBERED);
            self.known.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_that_is_as_it_was_is_not_read_again_and_one_that_is_not_is() {
        let path = std::env::temp_dir().join(format!("genesis-cookies-{}", std::process::id()));
        let secret = Secret::new(path.to_str().unwrap());
        let (cookies, now) = (Cookies::default(), SystemTime::now());
        let aged = |text: &str, age: u64| {
            fs::write(&path, text).unwrap();
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
        };
        let is = |user: &str, password: &str| {
            cookies.value(&secret, now).unwrap() == header::basic(user, password)
        };
        aged("user:one", 60);
        assert!(is("user", "one"));
        // The same time and the same length, as no node writes it: the file is not read.
        aged("user:two", 60);
        assert!(is("user", "one"));
        aged("user:two", 50);
        assert!(is("user", "two"));
        // Written in this second: it is read each time.
        aged("user:six", 0);
        assert!(is("user", "six"));
        aged("user:ten", 0);
        assert!(is("user", "ten"));
        fs::remove_file(&path).unwrap();
        assert!(cookies.value(&secret, now).is_err());
    }
}
