package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// steady compares Serve with net/http alone, without handovers: requests by wrk, a second and a second of the server's
// processor time, in turns of a second, and the ratios of neighbouring turns, because a machine's speed drifts. Beside
// other work only the second one means something.
func steady(rounds int) error {
	type server struct {
		kind, addr string
		p          *process
	}
	var servers []*server
	for _, kind := range []string{"theseus", "stop-start"} { // the latter is net/http alone
		s := &server{kind: kind}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.addr = ln.Addr().String()
		ln.Close()
		if s.p, err = ownServer(kind)("", s.addr, base); err != nil {
			return err
		}
		defer s.p.cmd.Process.Kill()
		for try := 0; ; try++ {
			if res, err := http.Get("http://" + s.addr + "/"); err == nil {
				res.Body.Close()
				break
			} else if try > 500 {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		servers = append(servers, s)
	}
	fmt.Printf("Serve to net/http alone, %d turns of 1 s each: requests a second, median (quartiles)\n", rounds)
	for _, path := range []string{"/", "/big"} {
		for _, clients := range []int{32, 256} {
			var rates, costs []float64
			for n := range rounds {
				rate, perCPU := map[string]float64{}, map[string]float64{}
				for i := range servers {
					s := servers[(i+n)%len(servers)] // they take turns at going first
					before, err := cpuTime(s.p.cmd.Process.Pid)
					if err != nil {
						return err
					}
					r, n, err := wrkRate(s.addr, path, clients)
					if err != nil {
						return err
					}
					after, err := cpuTime(s.p.cmd.Process.Pid)
					if err != nil {
						return err
					}
					rate[s.kind], perCPU[s.kind] = r, n/(after-before).Seconds()
				}
				rates = append(rates, rate["theseus"]/rate["stop-start"])
				costs = append(costs, perCPU["theseus"]/perCPU["stop-start"])
			}
			fmt.Printf("%-5s -c%-4d %s   per processor time %s\n", path, clients, spread(rates), spread(costs))
		}
	}
	return nil
}

// spread is the median and the quartiles.
func spread(ratios []float64) string {
	slices.Sort(ratios)
	at := func(q float64) float64 { return ratios[int(q*float64(len(ratios)-1))] }
	return fmt.Sprintf("%.3f (%.3f %.3f)", at(0.5), at(0.25), at(0.75))
}

// cpuTime is what a process has used of the processors.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
	user, err := strconv.Atoi(f[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond, err
}

var rateLine = regexp.MustCompile(`(\d+) requests in [^\n]*\n(?:.*\n)*?Requests/sec:\s*([0-9.]+)`)

func wrkRate(addr, path string, clients int) (rate, requests float64, err error) {
	out, err := exec.Command("wrk", "-t1", "-c"+strconv.Itoa(clients), "-d1s", "http://"+addr+path).CombinedOutput()
	m := rateLine.FindSubmatch(out)
	if err != nil || m == nil {
		return 0, 0, fmt.Errorf("wrk: %v\n%s", err, out)
	}
	if requests, err = strconv.ParseFloat(string(m[1]), 64); err == nil {
		rate, err = strconv.ParseFloat(string(m[2]), 64)
	}
	return rate, requests, err
}

// bigFile answers with 1 MiB from a file, as a server of downloads does.
func bigFile(w http.ResponseWriter, _ *http.Request) {
	const size = 1 << 20
	name, err := os.Executable()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	f, err := os.Open(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Length", strconv.Itoa(size))
	io.CopyN(w, f, size) // by sendfile, where the connection has that
}
