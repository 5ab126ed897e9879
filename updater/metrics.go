package updater

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theseus-go/theseus/internal/state"
)

// The text exposition format of Prometheus, version 0.0.4, written by hand: it is lines. Names and labels are a contract
// with rules and dashboards, in doc/prometheus. A label has one of a few values that stand in this program; identities,
// addresses and texts of errors are in the log. Each metric says which app it is of, because files of several programs lie
// side by side for a textfile collector.

// metric is one family of samples.
type metric struct {
	name, kind, help string
	samples          []sample
}

type sample struct {
	labels string // besides the app: `,result="ok"`
	n      float64
}

// by is a sample with a label.
func by(label, value string, n float64) sample {
	return sample{fmt.Sprintf(",%s=\"%s\"", label, escape(value)), n}
}

// conditionKinds are the events that are conditions, each of which is a metric that is 0 or 1.
var conditionKinds = []Kind{
	EventRefused, EventUnreachable, EventStaleSource, EventRollback, EventExpired, EventClockBehind, EventStateCorrupt,
	EventStateMissing, EventTrustCorrupt, EventCannotWrite, EventProbeUndecided, EventDeltaFailed, EventWithdrawn,
	EventRetired, EventManaged, EventOff, EventPolicy, EventHeld, EventHeldLong, EventUpdateFailed,
}

// holdKinds are the reasons of a hold that are told apart; a gate of the program may have others.
var holdKinds = []string{"age", "error", "fleet", "gate", "inhibit", "pin", "policy", "skip", "space", "updates", "window"}

// WriteMetrics writes what is known to w, for Prometheus. What counts updates is read from the state, so it goes on
// through handovers, undone updates and restarts; doc/operating.md lists the names. It asks no network, and takes no lock.
func (u *Updater) WriteMetrics(w io.Writer) error {
	st := state.New()
	if u.off == nil {
		st, _ = u.disk.Look() // a fresh one, if what is there cannot be read
	}
	s, counts := u.Status(), u.sum(st)
	if s.Held == nil {
		s.Held = holdOf(st, nil) // as another process left it
	}
	bit := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	stamp := func(t time.Time) []sample {
		if t.IsZero() {
			return nil
		}
		return one(float64(t.UnixMilli()) / 1000)
	}
	var held, updates, lasts, checks, loaded, conditions []sample
	if s.Held != nil {
		reason := s.Held.Kind
		if !slices.Contains(holdKinds, reason) {
			reason = "other"
		}
		held = []sample{by("reason", reason, 1)}
	}
	results := append(slices.Collect(maps.Keys(counts.Updates)), "ok", "undone") // a rule can ask for an increase from 0
	slices.Sort(results)
	for _, result := range slices.Compact(results) {
		c := counts.Updates[result]
		updates = append(updates, by("result", snake(result), float64(c.N)))
		if c.N > 0 {
			lasts = append(lasts, by("result", snake(result), float64(c.Last.UnixMilli())/1000))
		}
	}
	for _, result := range slices.Sorted(maps.Keys(counts.Checks)) {
		checks = append(checks, by("result", snake(result), float64(counts.Checks[result].N)))
	}
	for _, kind := range []string{"delta", "whole"} {
		loaded = append(loaded, by("kind", kind, float64(counts.Bytes[kind])))
	}
	holding := u.events.holding()
	for _, kind := range conditionKinds {
		conditions = append(conditions, by("condition", snake(string(kind)), bit(holding[kind])))
	}
	proved := st.Installed == nil || st.Installed.Proved
	return expose(w, u.opts.App, []metric{
		{"theseus_build_info", "gauge", "What runs, and which channel it follows.", []sample{{by("version", s.Running, 1).labels + by("channel", s.Channel, 1).labels, 1}}},
		{"theseus_update_available", "gauge", "1 if something newer is on offer for this machine.", one(bit(s.Offered != ""))},
		{"theseus_update_critical", "gauge", "1 if what is on offer should be installed without delay.", one(bit(s.Critical))},
		{"theseus_update_held", "gauge", "1 while a release is held back, by what.", held},
		{"theseus_proved", "gauge", "1 if the installed file has run healthily.", one(bit(proved))},
		{"theseus_failed_versions", "gauge", "Versions that failed here.", one(float64(len(s.Failed)))},
		{"theseus_last_check_timestamp_seconds", "gauge", "When a check succeeded last.", stamp(s.LastCheck)},
		{"theseus_last_update_timestamp_seconds", "gauge", "When an update ended last, by how it ended.", lasts},
		{"theseus_channel_expiry_timestamp_seconds", "gauge", "Until when the channel document is vouched for.", stamp(s.Expires)},
		{"theseus_channel_sequence", "gauge", "The sequence of the channel document.", one(float64(s.Sequence))},
		{"theseus_condition", "gauge", "1 while a condition holds.", conditions},
		{"theseus_checks_total", "counter", "Checks, by how they ended.", checks},
		{"theseus_updates_total", "counter", "Updates, by how they ended.", updates},
		{"theseus_download_bytes_total", "counter", "Bytes of files that were downloaded, by what they are.", loaded},
		{"theseus_delta_fallbacks_total", "counter", "Deltas that could not be used.", one(float64(counts.Fallbacks))},
	})
}

func one(n float64) []sample { return []sample{{"", n}} }

// snake is a name as label values have it.
func snake(name string) string { return strings.ReplaceAll(name, " ", "_") }

// expose writes families; one without samples is left out.
func expose(w io.Writer, app string, all []metric) error {
	var b bytes.Buffer
	for _, m := range all {
		if len(m.samples) == 0 {
			continue
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		for _, s := range m.samples {
			fmt.Fprintf(&b, "%s{app=\"%s\"%s} %s\n", m.name, escape(app), s.labels, strconv.FormatFloat(s.n, 'f', -1, 64))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// escape is a label value as the format wants it.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s)
}

// saveMetrics replaces a file for a textfile collector, which may read it at any moment.
func (u *Updater) saveMetrics(file string) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*") // not *.prom, so nobody collects it
	if err != nil {
		return fmt.Errorf("writing metrics: %w", err)
	}
	defer os.Remove(f.Name())
	err = u.WriteMetrics(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("writing metrics: %w", err)
	}
	return nil
}
