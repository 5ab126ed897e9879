package delta

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/theseus-go/theseus/delta/internal/testprogram"
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
		{"go, amd64", testprogram.ELF(62, 0), testprogram.ELF(62, 48),
			"d164656c7461000101c02200006138c2d66a26098b7f922285d793b22995ec0b4bf1ac6bd01ffd769492c5f5ebc0220000b002eeb50a7e82e79e9f02" +
				"073ff7df67efd26de32f4918e1ad385abe47ec274d27ff8200000000828003545564a9c353800f1bf270ae4fb771fcf18802c701ddd0c1212884be38" +
				"09aba6ffb6ca4bf36c17770611e7be537643270c518f0d2504d381f58a7772d3996da0844bf97171797e31c120a982da7da77e8a459c45142cc95e2a" +
				"3e8a0123e9dde97d4cebf1e856a05a0630afab"},
		{"go, arm64", testprogram.ELF(183, 0), testprogram.ELF(183, 48),
			"d164656c7461000101c0220000f91bb0862da3e2ff0cabf7181c1d4184ad0f417a5fd330da4428e865d9548995c0220000a61ba0d53b216984a028fd" +
				"d71271c01347bf17847ce6e317e0af6a3e2c55ce2f27ff8200000000828003545564a9c353800f1bf270ae4fb771fcf1880f73938e0593938e0a5c3a" +
				"9c7140030b66ec81f89a68bc7395a964969725c132f7ca62e84bf8806f3cb105374950f3f670e24b2e994ebbe98ffe4cd146a2616c03d9814086db36"},
		{"go, amd64 before Go 1.26", testprogram.ELF125(62, 0), testprogram.ELF125(62, 48),
			"d164656c7461000101c0220000acb909d5522183c2ad53f3c061f38ac75645d9a80717f4dd575d4b27a1054c4bc02200002d3b638d526f85afbaee13" +
				"aeab6860e9859ba28e1167193effab11a5191a547f27ff820000000096f801aa2aba854ed302bb0024445e24046ea9b0a9a77d0239417e8e4c8454cc" +
				"fb02ab1a17713df68678ec5e5e6f790e25ca524ce9acc1928641133dc420062649e6016f73a720c331fed676603a04d5b115e41a1394808c51158aec" +
				"b1ee9fe58a6093538bc787976de9f873669e162709"},
		{"go, amd64 of Go 1.27", testprogram.ELF127(62, 0), testprogram.ELF127(62, 48),
			"d164656c7461000101c0220000cad694f64f177aa9aecc839a28d3c4281607b86a964e88051c68b9cdfbc8b01fc0220000da1f0ac0b9071587ab6666" +
				"dfa0e6252e4d934e889bdd51380adbf8d9edf8f57f27ff8200000000828003545564a9c353800f1bf270ae4fb771fcf18802c701ddd0c1212884be38" +
				"09aba6ffb6ca4bf36c17770611e7be537643270c518f0d2504d381f58a7772d3996da0844bf97171797e31c120a982da7da77e8a459c45142cc95e2a" +
				"3e8a0123e9dde97d4cebf1e856a05a0630afab"},
		{"plain", []byte("the old text of a file\n"), []byte("the new text of a file, and more text of a file\n"),
			"d164656c74610001001700000016c2fe4859d8ae3289ac282474b350c63c4655b7170d1af896f00f1df94cb8cd30000000def787a653d056784b8038" +
				"76d8891d806deb42d2d5d2fb22ef80f11a482250691fffd693094f3564f11067eb81b13bf775390cb3d952"},
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
