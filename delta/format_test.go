package delta

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// Patches live for years on mirrors: those made by the first release of this
// format must be applied by every later one. A change that fails here needs a
// new predictor or a new format version, not new vectors (doc/delta-format.md,
// section 12). What Diff makes may differ; what Apply understands may not.
func TestPatchesOfThisFormatStayGood(t *testing.T) {
	for _, row := range []struct {
		name     string
		old, new []byte
		patch    string
	}{
		{"go, amd64", tinyELF(62, 0), tinyELF(62, 48),
			"d164656c7461000101c02200006138c2d66a26098b7f922285d793b22995ec0b4bf1ac6bd01ffd769492c5f5ebc0220000b002eeb50a7e82e79e9f02" +
				"073ff7df67efd26de32f4918e1ad385abe47ec274d27ff82000000008400035ad705ad035a000f3a8a80de60611e7558b302cdc1e258811434609a92" +
				"6b529118a225ca979062146f7b9e5b30c7f6599c95f4b979fc968bb27f662643be3a9aaf45b078b31ecefe73e223d51594f9a0f81f4cae2020da6332" +
				"8a134cb41839aa5f5e9334156b3358e6201805"},
		{"go, arm64", tinyELF(183, 0), tinyELF(183, 48),
			"d164656c7461000101c0220000f91bb0862da3e2ff0cabf7181c1d4184ad0f417a5fd330da4428e865d9548995c0220000a61ba0d53b216984a028fd" +
				"d71271c01347bf17847ce6e317e0af6a3e2c55ce2f27ff82000000008400035ad705ad035a000f3a8a80de60611e7558b30f99211b85a1211b8a7568" +
				"88dd430ccb7d156439a7756d41d8182d131ba8a84960858e0e5dfcd1b91dce56b14cacae49e864b72052069ab9619c6182c79978d32c377a6a021f87"},
		{"plain", []byte("the old text of a file\n"), []byte("the new text of a file, and more text of a file\n"),
			"d164656c74610001001700000016c2fe4859d8ae3289ac282474b350c63c4655b7170d1af896f00f1df94cb8cd30000000def787a653d056784b8038" +
				"76d8891d806deb42d2d5d2fb22ef80f11a482250691fffd6930f4f1a45551067e323fcc346930b32620f2a"},
	} {
		patch, err := hex.DecodeString(row.patch)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := Apply(t.Context(), bytes.NewReader(row.old), bytes.NewReader(patch), &got, Limits{}); err != nil {
			t.Errorf("%s: %v", row.name, err)
		} else if !bytes.Equal(got.Bytes(), row.new) {
			t.Errorf("%s: another file", row.name)
		}
	}
}
