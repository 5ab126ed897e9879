// Command apply is a client of package delta by whatever Go release builds it.
package main

import (
	"context"
	"log"
	"os"

	"github.com/theseus-go/theseus/delta"
)

func main() {
	old, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	patch, err := os.Open(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	new, err := os.Create(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	if _, err := delta.Apply(context.Background(), old, patch, new, delta.Limits{}); err != nil {
		log.Fatal(err)
	}
	if err := new.Close(); err != nil {
		log.Fatal(err)
	}
}
