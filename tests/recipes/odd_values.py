"""Texts that a person, a damaged disk or an attacker may put in the place of a setting's value."""

BOMB = "&a [1,1,1,1,1,1,1,1,1]"
for name, before in zip("bcdefgh", "abcdefg", strict=True):
    BOMB = f"[{BOMB}, &{name} [{', '.join([f'*{before}'] * 9)}]]"

VALUES = [
    *("2024-01-01", "2024-13-45", "2024-01-01 10:00:00", "1:30", "190:20:30.15", "!!timestamp x"),
    *("!!python/object:os.system x", "!!set {a, b}", "!!binary aGk=", "!!binary x", "!foo bar", "!!omap [a: 1]"),
    *("!!int ''", "!!int '_'", "!!int x", "!!float '-'", "!!float x", "!!bool x", "!!null x", "!!pairs [a: 1]"),
    *("null", "true", "-1", "0", "1", "0.5", "1e-38", "1e-40", "1e308", "1e400", ".inf", "-.inf", ".nan", "-0.0"),
    *("0x10", "0b2", "08", "1_000", "9" * 30, "9" * 5000, "'x'", "''", '"\\ud800"', '"\\0"', "\udcb4", "x" * 5000),
    *("{}", "[]", "[1, 2]", "[[1], [2]]", "{a: 1}", "{1: 2}", "{null: 1}", "{[a]: 1}", "{? [a]: b}", "[1" * 2000),
    *(
        "&a [*a]",
        "&a {x: *a}",
        "*a",
        BOMB,
        f"[{'1, ' * 9000}1]",
        "<<: 1",
        "{<<: [1]}",
        "a: b: c",
        "%",
        "`",
        "=",
        "-",
    ),
]
