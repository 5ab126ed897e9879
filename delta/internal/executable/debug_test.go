package executable

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/theseus-go/theseus/delta/internal/testprogram"
)

// Every kind of reference in debugging information is found, as often as there are some.
func TestReferencesOfDebuggingInformation(t *testing.T) {
	for _, row := range []struct {
		name  string
		dwarf int
		want  [debugCodes]int
	}{
		// Addresses of: the unit, functions, variables, 4 programs of lines, frames, symbols, and the lists or .debug_addr.
		{"version 4", 4, [debugCodes]int{debugPointer64: 1 + 12 + 12 + 8 + 8 + 12 + 6*3 + 6, debugInfo: 24, debugLines: 1, debugLocations: 12, debugRanges: 1, debugStrings: 12}},
		{"version 5", 5, [debugCodes]int{debugPointer64: 1 + 12 + 12 + 8 + 8 + 12 + 2*5*4 + 12, debugInfo: 24, debugLines: 1, debugLocations: 12, debugRanges: 1, debugAddresses: 1, debugStrings: 12}},
	} {
		b := testprogram.Debug(62, 0, row.dwarf, false)
		im, err := Parse(bytes.NewReader(b), int64(len(b)), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got [debugCodes]int
		for i := range im.Sections {
			s := &im.Sections[i]
			im.References(s.Off, s.Off+s.FileSize, s, func(off int64, k Kind) {
				if k >= kindDebug {
					got[k-kindDebug]++
					if target := im.Target(k, b[off:], 0); !im.Maps(target) {
						t.Errorf("%s: a reference at %d leads to %#x, which is nowhere", row.name, off, target)
					}
				}
			})
		}
		if got != row.want {
			t.Errorf("%s: references %v, want %v", row.name, got, row.want)
		}
	}
}

// What is packed is found, and unpacked it is the same image but for where things lie.
func TestPackedSections(t *testing.T) {
	plain, packed := testprogram.Debug(62, 0, 5, false), testprogram.Debug(62, 0, 5, true)
	if s := Packed(NewPages(bytes.NewReader(plain), int64(len(plain)))); len(s) != 0 {
		t.Errorf("packed sections %v where nothing is packed", s)
	}
	streams := Packed(NewPages(bytes.NewReader(packed), int64(len(packed))))
	if len(streams) != 7 {
		t.Fatalf("%d packed sections, want 7: %v", len(streams), streams)
	}
	im, err := Parse(bytes.NewReader(packed), int64(len(packed)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range im.Sections {
		if s.Content == contentInfo {
			t.Error("a section that is not unpacked is read")
		}
	}
}

// Hostile headers: what they promise is never read outside of the file, and takes no
// longer than the file is large.
func TestHostileDebuggingInformation(t *testing.T) {
	whole := testprogram.Debug(62, 0, 5, false)
	for at := 0x2200; at < len(whole); at++ {
		for _, v := range []byte{0, 0x7f, 0xff} {
			b := bytes.Clone(whole)
			b[at] = v
			if _, err := Parse(bytes.NewReader(b), int64(len(b)), nil); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
	}
}

// P20: units that each have a large table of abbreviations of their own, which all are
// the same bytes. Reading every one of them would take a minute.
func TestManyAbbreviationsP20(t *testing.T) {
	var info, table []byte
	for code := 1; code < 2000; code++ {
		table = append(table, byte(code&0x7f)|0x80, byte(code>>7), 0x34, 0)
		for range maxAttributes - 1 {
			table = append(table, 0x03, formFlagPresent)
		}
		table = append(table, 0, 0)
	}
	for i := range 60000 {
		info = le.AppendUint32(info, 7)
		info = le.AppendUint16(info, 4)
		info = le.AppendUint32(info, uint32(i%2*132)) // never that of the one before
		info = append(info, 8)
	}
	b := append(info, table...)
	im := &Image{File: NewPages(bytes.NewReader(b), int64(len(b))), Sites: newSites(int64(len(b)))}
	im.budget = len(b)/2 + 1024
	done := make(chan struct{})
	go func() {
		r := reader{im: im, end: int64(len(info))}
		r.info(Section{Off: int64(len(info)), FileSize: int64(len(table))})
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("still reading")
	}
	if im.budget > 0 {
		t.Error("the budget is not spent: the test shows nothing")
	}
}
