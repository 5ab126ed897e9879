// A server over TLS that also fetches: what most programs link before they import updater.
package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") })
	if len(os.Args) > 1 {
		_, err := http.Get(os.Args[1])
		fmt.Println(err)
	}
	s := &http.Server{Addr: ":8080", TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13}}
	fmt.Println(s.ListenAndServeTLS("cert.pem", "key.pem"))
}
