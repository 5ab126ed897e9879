package testenv

import (
	"flag"
	"fmt"
	"runtime"
)

// Overlap lets more tests of this package run side by side than there are processors, unless -parallel says how many. It
// is for packages whose tests mostly wait for other processes. TestMain calls it.
func Overlap() {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		// Cannot fail: the flag is there, and this is a number.
		_ = flag.Set("test.parallel", fmt.Sprint(4*runtime.GOMAXPROCS(0)))
	}
}
