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
			"d164656c7461000201102b00009c4b0d007aed833ecd66f34b715196f97a07c8f0019aec581d2595dcff585f2c182b00001d452bf96d5a12294ffe42" +
				"4c7188e7e598dd6ed91393c2dec280cc4277f7f3b9c40800003f83b0e81c31632c0b4e67e848aad26e72eebb88039188afb9ace763c1a1772a269db8" +
				"6f1252784ea24f000711909eb1f48c141ea2c4ca2713006200896005187a006f5aefbe83244238bdfd929b6f8b7737f5d16360ecf31306dfa631ae6c" +
				"b94ac1398408d8352cbe7269205de4e332abf01af22a35065ee42320ad17afa21f4b5b85d9dc41e30836121f3cd3580eba50c363ba42e20d81d38267" +
				"8cfdab50697176d86f75c3e29e028195194e1a4150295313a36f17ea932df46a1e0546be08d9487082edfe9c3870246edbffa9d63490cb9c1da1ab50" +
				"5aa800a3d212"},
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
