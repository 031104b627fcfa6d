//! Dates.

use std::ffi::CStr;
use std::mem;

use super::{Host, Kind::*, UserFnRow, text};
use crate::values::Value;

pub(super) const ROWS: &[UserFnRow] = &[
    UserFnRow {
        name: "ctime",
        params: &[Int],
        result: Str,
        call: |_, args| {
            let seconds = in_range(args[0].int())?;
            text(date(seconds))
        },
        doc: "UTC date and time of seconds since the epoch, 24 characters (function::ctime)",
    },
    UserFnRow {
        name: "tz_ctime",
        params: &[Int],
        result: Str,
        call: |host, args| {
            let seconds = in_range(args[0].int())?;
            let zone = zone(host);
            text(format!("{} {}", date(seconds - zone.west), zone.name))
        },
        doc: "the same in the local time zone, followed by its name (function::tz_ctime)",
    },
    UserFnRow {
        name: "tz_name",
        params: &[],
        result: Str,
        call: |host, _| text(&zone(host).name),
        doc: "name of the local time zone",
    },
    UserFnRow {
        name: "tz_gmtoff",
        params: &[],
        result: Int,
        call: |host, _| Ok(Value::Int(zone(host).west)),
        doc: "seconds west of UTC",
    },
];

/// The local time zone, found once (function::tz_ctime: at script startup only).
pub(super) type ZoneCache = Option<Zone>;

/// A time zone.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    /// Seconds west of UTC.
    west: i64,
    /// Its name: `CET`.
    name: String,
}

/// Times that can be represented with 32 bits, as function::ctime has it.
fn in_range(seconds: i64) -> Result<i64, String> {
    if i32::try_from(seconds).is_ok() {
        Ok(seconds)
    } else if seconds < 0 {
        Err("Time too far in the past to be converted".to_owned())
    } else {
        Err("Time too far in the future to be converted".to_owned())
    }
}

/// The local time zone now.
fn zone(host: &mut Host) -> &Zone {
    host.time.get_or_insert_with(|| {
        // SAFETY: all-zero is a valid `tm`.
        let mut tm: libc::tm = unsafe { mem::zeroed() };
        // SAFETY: time accepts a null pointer; localtime_r writes to the `tm` that it is given
        // and reads the time zone's files itself.
        let filled = unsafe {
            let now = libc::time(std::ptr::null_mut());
            !libc::localtime_r(&raw const now, &raw mut tm).is_null()
        };
        if !filled || tm.tm_zone.is_null() {
            return Zone {
                west: 0,
                name: "UTC".to_owned(),
            };
        }
        // SAFETY: localtime_r sets tm_zone to a NUL-terminated string that stays for the
        // life of the process.
        let name = unsafe { CStr::from_ptr(tm.tm_zone) };
        Zone {
            west: -tm.tm_gmtoff,
            name: name.to_string_lossy().into_owned(),
        }
    })
}

/// `Wed Jun 30 21:49:08 1993` of seconds since the epoch (in UTC).
fn date(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let days = seconds.div_euclid(86400);
    let clock = seconds.rem_euclid(86400);
    // Days since 1 March of year 0, in eras of 400 years; years begin in March so that the
    // leap day is their last.
    let since = days + 719_468;
    let era = since.div_euclid(146_097);
    let day_of_era = since.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    format!(
        "{} {} {day:2} {:02}:{:02}:{:02} {year}",
        DAYS[days.rem_euclid(7) as usize],
        MONTHS[month as usize],
        clock / 3600,
        clock / 60 % 60,
        clock % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_manual_page() {
        assert_eq!(date(0), "Thu Jan  1 00:00:00 1970");
        assert_eq!(date(-2_147_483_648), "Fri Dec 13 20:45:52 1901");
        assert_eq!(date(2_147_483_647), "Tue Jan 19 03:14:07 2038");
        assert_eq!(date(741_476_948), "Wed Jun 30 21:49:08 1993");
    }

    #[test]
    fn leap_days() {
        assert_eq!(date(951_782_400), "Tue Feb 29 00:00:00 2000");
        assert_eq!(date(951_868_800), "Wed Mar  1 00:00:00 2000");
        assert_eq!(date(1_709_164_800), "Thu Feb 29 00:00:00 2024");
    }

    #[test]
    fn out_of_range_is_an_error() {
        assert!(in_range(1 << 40).is_err());
        assert!(in_range(i64::MIN).is_err());
    }
}
