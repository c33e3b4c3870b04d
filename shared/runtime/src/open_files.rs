//! How many files and connections the process may have open.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit to the most that the system allows this process, and says what it is then.
///
/// The usual soft limit of 1,024 is there for programs that use `select(2)`; here every connection
/// that waits for news takes one (getrlimit(2), `RLIMIT_NOFILE`).
///
/// # Errors
/// What the system said; the limit is what it was.
pub fn allow_the_most() -> Result<u64, Errno> {
    let (current, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if current < most {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_is_raised_to_the_most_that_is_allowed() {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most / 2, most).unwrap();

        assert_eq!(allow_the_most(), Ok(most));

        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (most, most));
    }
}
