package verify_test

import (
	"fmt"
	"log"
	"math/rand/v2"
	"time"

	"github.com/theseus-go/theseus/verify"
)

func Example() {
	// The publisher makes a key once. (nil instead of this seed: randomness of the system.)
	public, private, err := verify.GenerateKey(rand.NewChaCha8([32]byte{1}), "")
	if err != nil {
		log.Fatal(err)
	}
	key, err := verify.ParsePrivateKey(private)
	if err != nil {
		log.Fatal(err)
	}
	type body struct {
		App      string `json:"app"`
		Sequence int64  `json:"sequence"`
	}
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	file, err := verify.Sign(verify.TypeChannel, body{"hello", 42}, key.Signer(now))
	if err != nil {
		log.Fatal(err)
	}

	// The client is built with the public key.
	trust, err := verify.ParseTrust(public)
	if err != nil {
		log.Fatal(err)
	}
	document, err := verify.Open(file, verify.TypeChannel, trust.Channel)
	if err != nil {
		log.Fatal(err)
	}
	var b body
	if err := document.Decode(&b); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s%+v signed by %s\n", document.Text, b, document.Signers[0].ID())

	_, err = verify.Open([]byte("<html>Please log in</html>"), verify.TypeChannel, trust.Channel)
	fmt.Println(err)
	// Output:
	// theseus/channel/v1
	// {
	//   "app": "hello",
	//   "sequence": 42
	// }
	// {App:hello Sequence:42} signed by FA1097E8CE463407
	// this is an HTML page, not a signed document: check the URL, and whether a login page or proxy answers in its place
}
