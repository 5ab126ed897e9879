package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
	"github.com/fvbock/endless"
	"github.com/jpillora/overseer"
	"golang.org/x/sys/unix"

	"github.com/theseus-go/theseus/restart"
)

// serverVar makes this program one of the servers; the others say where and how.
const (
	serverVar    = "BENCH_SERVER"
	networkVar   = "BENCH_NETWORK"
	addressVar   = "BENCH_ADDRESS"
	probationVar = "BENCH_PROBATION"
)

// handler answers with the process id; /events streams until the process drains, or for ever where nothing tells that.
func handler(drainBegan func() time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if d, err := time.ParseDuration(r.URL.Query().Get("d")); err == nil {
			time.Sleep(d)
		}
		fmt.Fprintf(w, "%d", os.Getpid())
	})
	mux.HandleFunc("/big", bigFile)
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprintf(w, "data: %d\n\n", os.Getpid())
			http.NewResponseController(w).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			case <-restart.DrainStarted(r.Context()):
				fmt.Fprintf(w, "data: goodbye %d\n\n", drainBegan().UnixNano())
				return
			}
		}
	})
	return mux
}

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

func serve(kind string) error {
	network, address := os.Getenv(networkVar), os.Getenv(addressVar)
	switch kind {
	case "theseus", "theseus-tls":
		return serveTheseus(network, address, kind == "theseus-tls")
	case "theseus-grpc":
		return serveTheseusGRPC(network, address)
	case "tableflip", "tableflip-tls", "tableflip-grpc":
		return serveTableflip(network, address, strings.TrimPrefix(kind, "tableflip"))
	case "endless":
		return endless.ListenAndServe(address, handler(nil))
	case "overseer":
		return serveOverseer(address)
	case "stop-start", "reuseport":
		return servePlain(network, address, kind == "reuseport")
	}
	return fmt.Errorf("no server is called %s", kind)
}

func newTheseus() (*restart.Restarter, error) {
	probation, err := time.ParseDuration(os.Getenv(probationVar))
	return restart.New(restart.Options{Probation: probation, Logger: slog.New(slog.DiscardHandler)}), err
}

func serveTheseus(network, address string, secure bool) error {
	r, err := newTheseus()
	if err != nil {
		return err
	}
	ln, err := r.Listen(network, address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler(func() time.Time { return r.Status().Since }), Protocols: protocols()}
	if secure {
		if srv.TLSConfig, err = certificate(); err != nil {
			return err
		}
	}
	r.Serve(ln, srv)
	return r.Run(context.Background())
}

// serveTableflip is what tableflip's README shows.
func serveTableflip(network, address, variant string) error {
	upg, err := tableflip.New(tableflip.Options{})
	if err != nil {
		return err
	}
	defer upg.Stop()
	go func() {
		sig := make(chan os.Signal, 1)
		signal.Notify(sig, syscall.SIGHUP)
		for range sig {
			if err := upg.Upgrade(); err != nil {
				fmt.Fprintln(os.Stderr, "tableflip:", err)
			}
		}
	}()
	ln, err := upg.Listen(network, address)
	if err != nil {
		return err
	}
	var end func(context.Context) error
	switch srv := (&http.Server{Handler: handler(nil), Protocols: protocols()}); variant {
	case "-grpc":
		srv := grpcServer()
		go srv.Serve(ln)
		end = func(context.Context) error { srv.GracefulStop(); return nil }
	case "-tls":
		if srv.TLSConfig, err = certificate(); err != nil {
			return err
		}
		go srv.ServeTLS(ln, "", "")
		end = srv.Shutdown
	default:
		go srv.Serve(ln)
		end = srv.Shutdown
	}
	if err := upg.Ready(); err != nil {
		return err
	}
	<-upg.Exit()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return end(ctx)
}

// serveOverseer is what overseer's README shows: a process that stays, and one that serves.
func serveOverseer(address string) error {
	return overseer.RunErr(overseer.Config{
		Address: address,
		NoWarn:  true,
		Program: func(state overseer.State) {
			srv := &http.Server{Handler: handler(nil)}
			go srv.Serve(state.Listener)
			<-state.GracefulShutdown
			srv.Shutdown(context.Background())
		},
	})
}

// servePlain is replaced by its parent: it stops in order on SIGTERM.
func servePlain(network, address string, reuse bool) error {
	lc := net.ListenConfig{}
	if reuse {
		lc.Control = func(_, _ string, c syscall.RawConn) error {
			var set error
			err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
			if err == nil {
				err = set
			}
			return err
		}
	}
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGTERM)
	ln, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler(nil)}
	go srv.Serve(ln)
	<-sig
	return srv.Shutdown(context.Background())
}

// certificate is the same for every process, and nobody checks it.
func certificate() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	priv, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: priv}))
	return &tls.Config{Certificates: []tls.Certificate{c}}, err
}

// process is a running server.
type process struct {
	cmd      *exec.Cmd
	handOver func(serving int) error // serving: the process id that answered last
	stop     func(serving int)
	exits    bool // the process that answered exits when it was replaced
}

func ownServer(kind string) func(dir, addr string, set setting) (*process, error) {
	return func(dir, addr string, set setting) (*process, error) {
		launch := func() (*exec.Cmd, error) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), serverVar+"="+kind, networkVar+"="+set.network, addressVar+"="+addr, probationVar+"="+set.probation.String())
			cmd.Stderr = os.Stderr
			return cmd, cmd.Start()
		}
		cmd, err := launch()
		if err != nil {
			return nil, err
		}
		p := &process{cmd: cmd, exits: true}
		go cmd.Wait()
		p.handOver = func(serving int) error { return syscall.Kill(serving, syscall.SIGHUP) }
		p.stop = func(serving int) { syscall.Kill(serving, syscall.SIGKILL) }
		switch kind {
		case "overseer":
			p.handOver = func(int) error { return cmd.Process.Signal(overseer.SIGUSR2) }
			p.stop = func(serving int) {
				cmd.Process.Signal(syscall.SIGKILL)
				syscall.Kill(serving, syscall.SIGKILL)
			}
		case "stop-start":
			p.handOver = func(serving int) error {
				if err := syscall.Kill(serving, syscall.SIGTERM); err != nil {
					return err
				}
				for range 1000 {
					if ended(serving) {
						break
					}
					time.Sleep(time.Millisecond)
				}
				next, err := launch()
				if err == nil {
					go next.Wait()
				}
				return err
			}
		case "reuseport":
			p.handOver = func(serving int) error {
				next, err := launch()
				if err != nil {
					return err
				}
				go next.Wait()
				time.Sleep(30 * time.Millisecond) // it has no way to say that it listens
				return syscall.Kill(serving, syscall.SIGTERM)
			}
		}
		return p, nil
	}
}

func externalServer(command string) func(dir, addr string, set setting) (*process, error) {
	return func(dir, addr string, _ setting) (*process, error) {
		f := strings.Fields(strings.ReplaceAll(command, "{addr}", addr))
		cmd := exec.Command(f[0], f[1:]...)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		go cmd.Wait()
		return &process{cmd: cmd,
			handOver: func(serving int) error { return syscall.Kill(serving, syscall.SIGHUP) },
			stop:     func(serving int) { syscall.Kill(serving, syscall.SIGKILL) },
		}, nil
	}
}

// nginx and haproxy answer by themselves, with nothing behind them; a reload is what replaces their workers.
func nginx(dir, addr string, _ setting) (*process, error) {
	conf := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log stderr crit;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s;
uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
server { listen %[2]s; location / { return 200 $pid; } } }`, dir, addr)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command("nginx", "-c", file, "-p", dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd: cmd,
		handOver: func(int) error { return cmd.Process.Signal(syscall.SIGHUP) },
		stop:     func(int) { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() },
	}, nil
}

func haproxy(dir, addr string, _ setting) (*process, error) {
	conf := fmt.Sprintf(`global
  maxconn 1000
  nbthread 1
defaults
  mode http
  timeout client 30s
  timeout http-keep-alive 30s
frontend f
  bind %s
  http-request return status 200 content-type text/plain lf-string %%pid
`, addr)
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command("haproxy", "-W", "-f", file)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd: cmd,
		handOver: func(int) error { return cmd.Process.Signal(syscall.SIGUSR2) },
		stop:     func(int) { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() },
	}, nil
}
