package release

import (
	"errors"
	"testing"
	"time"
)

const month = 30 * 24 * time.Hour

func TestA06Freeze(t *testing.T) {
	c := &Channel{App: "hello", Name: "stable", Sequence: 9, Issued: day, Expires: after(month)}
	for _, row := range []struct {
		name  string
		clock Clock
		want  error
	}{
		{"just issued", Clock{Wall: day}, nil},
		{"last second", Clock{Wall: after(month - time.Second)}, nil},
		{"expires now", Clock{Wall: after(month)}, ErrExpired},
		{"a year later", Clock{Wall: after(12 * month)}, ErrExpired},
		{"F30 clock set back, floor knows better", Clock{Wall: day, Floor: after(2 * month)}, ErrExpired},
		{"F30 no clock, the build knows better", Clock{Wall: time.Unix(0, 0), Built: after(2 * month)}, ErrExpired},
		{"F30 no clock, the floor is within", Clock{Wall: time.Unix(0, 0), Built: after(-month), Floor: after(time.Hour)}, nil},
	} {
		if err := c.Fresh(row.clock); !errors.Is(err, row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestA33IssuedIn2100(t *testing.T) {
	c := &Channel{App: "hello", Name: "stable", Sequence: 9, Issued: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), Expires: time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC)}
	clock := Clock{Wall: day, Floor: after(-month), Built: after(-2 * month)}
	if err := c.Fresh(clock); !errors.Is(err, ErrFuture) {
		t.Error(err)
	}
	// Were it accepted all the same, the floor would follow by a day and no more.
	if got := clock.Raise(c.Issued); got.After(after(24 * time.Hour)) {
		t.Errorf("floor raised to %s", got)
	}
	// A day of difference between two clocks is no attack.
	c.Issued = after(24 * time.Hour)
	if err := c.Fresh(clock); err != nil {
		t.Error(err)
	}
	c.Issued = after(24*time.Hour + time.Second)
	if err := c.Fresh(clock); !errors.Is(err, ErrFuture) {
		t.Error(err)
	}
	// The floor does not widen what is believed: otherwise each document could push it a day further.
	clock.Floor = after(24 * time.Hour)
	if err := c.Fresh(clock); !errors.Is(err, ErrFuture) {
		t.Error(err)
	}
}

func TestF30FloorRisesFromSignedDatesOnly(t *testing.T) {
	for _, row := range []struct {
		name   string
		clock  Clock
		issued time.Time
		want   time.Time
	}{
		{"first document", Clock{Wall: day}, after(-time.Hour), after(-time.Hour)},
		{"newer", Clock{Wall: day, Floor: after(-month)}, after(-time.Hour), after(-time.Hour)},
		{"older", Clock{Wall: day, Floor: after(-time.Hour)}, after(-month), after(-time.Hour)},
		{"wall far ahead", Clock{Wall: after(100 * month), Floor: after(-time.Hour)}, day, day},
		{"beyond tomorrow", Clock{Wall: day, Floor: after(-time.Hour)}, after(month), after(24 * time.Hour)},
		{"beyond tomorrow, floor higher", Clock{Wall: day, Floor: after(48 * time.Hour)}, after(month), after(48 * time.Hour)},
		{"no clock", Clock{Wall: time.Unix(0, 0), Built: after(-month)}, day, day},
	} {
		if got := row.clock.Raise(row.issued); !got.Equal(row.want) {
			t.Errorf("%s: %s, want %s", row.name, got, row.want)
		}
	}
}

func TestClockBehind(t *testing.T) {
	if d := (Clock{Wall: day, Floor: after(month)}).Behind(); d != month {
		t.Error(d)
	}
	if d := (Clock{Wall: day, Floor: after(-month)}).Behind(); d != 0 {
		t.Error(d)
	}
}
