package delta_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log"
	"strings"

	"github.com/theseus-go/theseus/delta"
)

func Example() {
	old := []byte(strings.Repeat("a line that stays\n", 1000) + "version 1.0.0\n")
	new := []byte(strings.Repeat("a line that stays\n", 1000) + "version 1.1.0\n")

	var patch bytes.Buffer
	if _, err := delta.Diff(context.Background(), old, new, &patch, delta.Options{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("a hundredth of the file:", patch.Len()*100 < len(new))

	// A client compares what the patch claims with what was signed, before it applies it.
	signed := sha256.Sum256(new)
	header, err := delta.ReadHeader(bytes.NewReader(patch.Bytes()))
	if err != nil || header.New.SHA256 != signed {
		log.Fatal("not the patch to the signed file: ", err)
	}
	var made bytes.Buffer
	if _, err := delta.Apply(context.Background(), bytes.NewReader(old), &patch, &made, delta.Limits{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same bytes:", bytes.Equal(made.Bytes(), new))
	// Output:
	// a hundredth of the file: true
	// the same bytes: true
}
