// The program of ../alone, which also keeps itself up to date.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"

	"github.com/theseus-go/theseus/updater"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") })
	if len(os.Args) > 1 {
		_, err := http.Get(os.Args[1])
		fmt.Println(err)
	}
	u, err := updater.New(updater.Options{App: "hello", Version: "1.0.0", Key: os.Getenv("KEY"), Source: "https://dl.example.com/hello"})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	http.Handle("/update", u.Handler())
	go u.Run(context.Background())
	s := &http.Server{Addr: ":8080", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13}}
	fmt.Println(s.ListenAndServeTLS("cert.pem", "key.pem"))
}
