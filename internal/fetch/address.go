package fetch

import "net/netip"

// private reports whether a host is known, without a lookup, not to be public.
func private(host string) bool {
	ip, err := netip.ParseAddr(host)
	return loopback(host) || err == nil && !public(ip)
}

// special are the addresses of networks of one's own, beside those that package netip knows (RFC 6890): they are not the
// internet's, although they look like it.
var special = prefixes(
	"0.0.0.0/8",      // this network
	"100.64.0.0/10",  // RFC 6598: carriers' NAT, and private overlays
	"192.0.0.0/24",   // RFC 6890: protocol assignments, DS-Lite among them
	"198.18.0.0/15",  // RFC 2544: benchmarks
	"240.0.0.0/4",    // RFC 1112: reserved, used privately
	"64:ff9b:1::/48", // RFC 8215: translation to whatever this network likes
	"100::/64",       // RFC 6666: discarded
	"2001::/32",      // RFC 4380: Teredo
	"fec0::/10",      // RFC 3879: site-local, deprecated
)

// embedded are the prefixes of IPv6 addresses that lead to an IPv4 address, and where in their 16 bytes it stands.
var embedded = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // RFC 6052: NAT64, by which networks without IPv4 reach the rest
	{netip.MustParsePrefix("2002::/16"), 2},     // RFC 3056: 6to4
	{netip.MustParsePrefix("::/96"), 12},        // RFC 4291: IPv4-compatible, deprecated
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// public reports whether an address is one of the internet's. 169.254.169.254 and its like are link-local. An IPv6 address
// that leads to an IPv4 address is what that one is.
func public(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	for _, e := range embedded {
		if b := ip.As16(); ip.Is6() && e.prefix.Contains(ip) {
			return public(netip.AddrFrom4([4]byte(b[e.at : e.at+4])))
		}
	}
	return true
}
