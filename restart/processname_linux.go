package restart

import (
	"os"
	"strconv"
	"strings"
)

// processName returns the name that the kernel keeps for a process, or "".
func processName(pid int) string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	return strings.TrimSuffix(string(b), "\n")
}
