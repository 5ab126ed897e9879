package updater

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// missing adds to the error of a file that the system did not start what it lacks: the system says "no such file" of the
// loader or the interpreter, too, and does not name it.
func missing(f *os.File, err error) error {
	start, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	head := make([]byte, 4096)
	n, _ := f.ReadAt(head, 0)
	head = head[:n]
	needs := loader(head)
	machine := machineOf(head)
	switch absent := errors.Is(err, fs.ErrNotExist); {
	case absent && strings.HasPrefix(string(head), "#!"):
		line, _, _ := strings.Cut(string(head[2:]), "\n")
		return fmt.Errorf("%w: it needs the interpreter %.200s, which is not on this machine", start.Err, strings.TrimSpace(line))
	case absent && needs != "":
		return fmt.Errorf("%w: it needs the loader %.200s, which is not on this machine", start.Err, needs)
	case notForThis(start.Err) && machine != "":
		return fmt.Errorf("%w: it is built for %s, this machine is %s", start.Err, machine, runtime.GOARCH)
	case notForThis(start.Err):
		return fmt.Errorf("%w: it is no program that this system runs", start.Err)
	}
	return err
}

// machines are the processors of ELF files, as Go names them.
var machines = map[uint16]string{
	3: "386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 258: "loong64",
}

// order is the byte order of an ELF file, nil if the bytes are none.
func order(head []byte) binary.ByteOrder {
	switch {
	case len(head) < 64 || string(head[:4]) != "\x7fELF":
		return nil
	case head[5] == 2:
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func machineOf(head []byte) string {
	order := order(head)
	if order == nil {
		return ""
	}
	n := order.Uint16(head[18:])
	if name, ok := machines[n]; ok {
		return name
	}
	return fmt.Sprintf("another machine (%d)", n)
}

// loader is the program that an ELF file names to load it, if its beginning tells; "" if it needs none.
func loader(head []byte) string {
	order := order(head)
	if order == nil {
		return ""
	}
	at, size, offset, length := int(order.Uint32(head[28:])), 32, 4, 16 // of the program headers, and in one
	number := func(b []byte) int { return int(order.Uint32(b)) }
	count := int(order.Uint16(head[44:]))
	if head[4] == 2 { // 64 bits
		at, size, offset, length = int(order.Uint64(head[32:])), 56, 8, 32
		number = func(b []byte) int { return int(order.Uint64(b)) }
		count = int(order.Uint16(head[56:]))
	}
	for ; count > 0 && at > 0 && at <= len(head)-size; at, count = at+size, count-1 {
		h := head[at : at+size]
		if order.Uint32(h) != 3 { // PT_INTERP
			continue
		}
		begin, n := number(h[offset:]), number(h[length:])
		if begin > 0 && n > 0 && n <= len(head) && begin <= len(head)-n {
			return strings.TrimRight(string(head[begin:begin+n]), "\x00")
		}
	}
	return ""
}
