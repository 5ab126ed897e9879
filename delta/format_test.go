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
			"d164656c7461000201c02200006138c2d66a26098b7f922285d793b22995ec0b4bf1ac6bd01ffd769492c5f5ebc0220000b002eeb50a7e82e79e9f02" +
				"073ff7df67efd26de32f4918e1ad385abe47ec274d0000000000ca0002880000003d00018ce35dc6418c80070c6879d492593d0d68c0014d00dfc97f" +
				"72c945605462d1953104db7dd868c4d2dbe177cc33b08777989a8e2761de10a6200482b2aacf24c4156d1ff4e8e1ed31985b361960949b7224a008c2" +
				"0d58dca003ad0e5588d856eb28ef26e1ede79b4ca4327fa0"},
		{"go, arm64", testprogram.ELF(183, 0), testprogram.ELF(183, 48),
			"d164656c7461000201c0220000f91bb0862da3e2ff0cabf7181c1d4184ad0f417a5fd330da4428e865d9548995c0220000a61ba0d53b216984a028fd" +
				"d71271c01347bf17847ce6e317e0af6a3e2c55ce2f0000000000ca0002880000003d00018ce35dc6418c80070c6879d492593d0d68c0073c9c9a029c" +
				"9c9a04da2ee4d095e105599b0ef693445ae744a67da39514c03ccfc149860fbc9d5157ce116cf7ec44720b27c91767628dd2fb4246977c5a5e4641c3" +
				"a5afbccb73"},
		{"go, amd64 before Go 1.26", testprogram.ELF125(62, 0), testprogram.ELF125(62, 48),
			"d164656c7461000201c0220000acb909d5522183c2ad53f3c061f38ac75645d9a80717f4dd575d4b27a1054c4bc02200002d3b638d526f85afbaee13" +
				"aeab6860e9859ba28e1167193effab11a5191a547f0000000000ca000288000000468800c671b2b3539a7d714010e758da766412f2328f81410a10b2" +
				"ccf637684e63fd7cc77bf778f5189816a60210950affef244c99f8815540a781f4c4198db02f9494d13ba62aa537d4604e34f9d343976563c61b40a4" +
				"de26b8d1fb7550da7756802d133c2f104332ae84d63da92bbe50"},
		{"go, amd64 of Go 1.27", testprogram.ELF127(62, 0), testprogram.ELF127(62, 48),
			"d164656c7461000201c0220000cad694f64f177aa9aecc839a28d3c4281607b86a964e88051c68b9cdfbc8b01fc0220000da1f0ac0b9071587ab6666" +
				"dfa0e6252e4d934e889bdd51380adbf8d9edf8f57f0000000000ca0002880000003d00018ce35dc6418c80070c6879d492593d0d68c0014d00dfc97f" +
				"72c945605462d1953104db7dd868c4d2dbe177cc33b08777989a8e2761de10a6200482b2aacf24c4156d1ff4e8e1ed31985b361960949b7224a008c2" +
				"0d58dca003ad0e5588d856eb28ef26e1ede79b4ca4327fa0"},
		{"go, amd64 with packed DWARF 5", testprogram.Debug(62, 0, 5, true), testprogram.Debug(62, 48, 5, true),
			"d164656c7461000201102b0000c283ff16e067c81079cda10cce2a388aabbace0b57a67f1d5a07beb1c1b2ba0b202b00002d0b6bc3f896e656819d52" +
				"96348648a0621412b88cf98ccd91df5657d1ad642ac40800003f83b0e99c316334f7f0bded4ff8d4050f85f7acc9ad35c00beb6323757f43d7a9bb3d" +
				"c4141ea432e00110aa3561ded32e5b05dbcd0853000f18c79e78c3c5401125f729bd28f22364a72c46ff7e5c5ecb32ca4fa59e476b17d874c70fef4b" +
				"38ec80190dd12940f806121677108a8b790cae307d9f70250dfa12907a86df619e0221ad6fca1e8f146960766cd61b37f47824365406abe453bb697d" +
				"26736d1384254e4e672cd8a164b305a9cf96c8ddd1b617ca4804b08e23919e18ec0ac4cf9e93a88614c46b059a4e26626dc29d0f7886ef195656c6e0" +
				"4f6086a9a344"},
		{"go, arm64 with DWARF 4", testprogram.Debug(183, 0, 4, false), testprogram.Debug(183, 48, 4, false),
			"d164656c7461000201c83000000cb55d59ebbd43ecb746123b0878d2eba4dfce35e0acb9a52955a2430ae07672c83000003e5e3b6df9a65b95406769" +
				"e0bf5a0d141fc758255648a58446e4645d0c93343b000000000161c800a180036752299eb6c350976fb97b590063d4fe9ef731de00e39551c3afc8b2" +
				"42d6dbd76625e931d6ab2150990c0ff9d9a2ac15c082c6b1197fa474c44a6c6ae18bbceae2e186835758dd332c06a5d349065a43c859ee3c359abac1" +
				"9272aea676d70f1892c8c45cd09efe75dfd0a19664a98c1d0a9d2a96a6876ea703e263f6e2a5b3db22d728100450d9"},
		{"plain", []byte("the old text of a file\n"), []byte("the new text of a file, and more text of a file\n"),
			"d164656c74610002001700000016c2fe4859d8ae3289ac282474b350c63c4655b7170d1af896f00f1df94cb8cd30000000def787a653d056784b8038" +
				"76d8891d806deb42d2d5d2fb22ef80f11a48225069000000001fffd693094f3564f11067eb81b13bf775390cb3d952"},
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
