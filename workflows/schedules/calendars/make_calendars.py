"""Writes the exchange calendars beside this file: pip install exchange-calendars==4.13.2; python make_calendars.py"""

import json
from importlib.metadata import version
from pathlib import Path

import exchange_calendars
import pandas

EXCHANGES = ["XNYS", "XLON", "XETR", "XPAR", "XTKS", "XHKG", "XTSE"]
FIRST, LAST = "2010-01-01", "2027-12-31"


def hours(calendar):
    """Returns the regular hours of the exchange, each from its first day on."""
    changes = {pandas.Timestamp(FIRST)}
    for times in (calendar.open_times, calendar.close_times):
        changes |= {date for date, _ in times if date is not None and date > pandas.Timestamp(FIRST)}

    def at(times, day):
        return [time for date, time in times if date is None or date <= day][-1].strftime("%H:%M")

    return [
        {"from": f"{day:%Y-%m-%d}", "open": at(calendar.open_times, day), "close": at(calendar.close_times, day)}
        for day in sorted(changes)
    ]


def describe(name):
    calendar = exchange_calendars.get_calendar(name, start=FIRST, end=LAST)
    regular = hours(calendar)
    other = {}
    for session, row in calendar.schedule.iterrows():
        date = f"{session:%Y-%m-%d}"
        times = [f"{row[column].tz_convert(calendar.tz):%H:%M}" for column in ("open", "close")]
        usual = [each for each in regular if each["from"] <= date][-1]
        if times != [usual["open"], usual["close"]]:
            other[date] = times
    weekdays = pandas.bdate_range(FIRST, LAST)
    assert all(session.weekday() < 5 for session in calendar.sessions), name
    return {
        "exchange": name,
        "timeZone": str(calendar.tz),
        "source": f"exchange-calendars {version('exchange-calendars')}",
        "first": FIRST,
        "last": LAST,
        "hours": regular,
        "closed": [f"{day:%Y-%m-%d}" for day in weekdays.difference(calendar.sessions)],
        "otherHours": other,
    }


for exchange in EXCHANGES:
    target = Path(__file__).parent / f"{exchange}.json"
    target.write_text(json.dumps(describe(exchange), separators=(",", ":")) + "\n")
