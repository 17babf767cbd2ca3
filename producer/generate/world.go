package generate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/audittrail/audittrail/schemas/audit"
)

// The size of the made-up world.
const (
	actorCount   = 20_000
	addressCount = 6_000
	instances    = 3
	// skew is the exponent of the Zipf distributions: the busiest of 20,000 actors does about a tenth of everything.
	skew = 1.1
)

// tenants with their shares, in percent.
var tenants = [...]struct {
	name  string
	share int
}{
	{"acme", 50},
	{"globex", 25},
	{"initech", 15},
	{"umbrella", 7},
	{audit.DefaultTenant, 3},
}

// application is one of the services that publish events about records of their own kinds.
type application struct {
	name  string
	kinds []kind
}

// kind is a kind of record.
type kind struct {
	name, route string
	fields      []field
}

// field is something that changes in a record; a secret one is published redacted.
type field struct {
	name   string
	values []string
	secret bool
}

var (
	status = field{name: "status", values: []string{`"draft"`, `"open"`, `"approved"`, `"paid"`, `"closed"`}}
	amount = field{name: "amount", values: []string{"120.00", "89.90", "1450.00", "15.25", "98000.00"}}
	email  = field{name: "contact.email", values: []string{`"office@example.com"`, `"sales@example.org"`, `"info@example.net"`}}
	notify = field{name: "notify", values: []string{"true", "false", "null"}}
	iban   = field{name: "iban", secret: true}
	salary = field{name: "salary", secret: true}
)

var applications = [...]application{
	{"billing", []kind{
		{"invoice", "/invoices/{id}", []field{status, amount, notify}},
		{"payment", "/payments/{id}", []field{status, amount, iban}},
	}},
	{"crm", []kind{
		{"customer", "/customers/{id}", []field{email, status, iban, notify}},
		{"contract", "/contracts/{id}", []field{status, amount}},
	}},
	{"hr", []kind{
		{"employee", "/employees/{id}", []field{email, salary, notify}},
	}},
	{"warehouse", []kind{
		{"order", "/orders/{id}", []field{status, amount, notify}},
		{"shipment", "/shipments/{id}", []field{status, notify}},
	}},
}

// Two services publish what belongs to no application.
const (
	identityService = len(applications) + iota
	gatewayService
	serviceCount
)

// actor is a principal and the state of its session.
type actor struct {
	audit.Actor
	tenant  string
	address netip.Addr
	agent   string
	session string
}

var (
	firstNames    = strings.Fields("Alice Bruno Carla David Elena Farid Greta Hugo Ines Jonas Katja Luca Maria Nils Olga Pedro Quinn Rosa Samir Tessa Ugo Vera Wanda Yusuf Zoe")
	lastNames     = strings.Fields("Martin Silva Novak Keller Rossi Haddad Berg Costa Dubois Evans Fischer Garcia Horvat Ivanov Jansen Kowalski Lindgren Moreau Nguyen Okafor Petrov Ramos Schmidt Tanaka Weber")
	agents        = strings.Split("Chrome/141 Windows,Safari/18 macOS,Firefox/144 Linux,Edge/141 Windows,acme-mobile/9.4 iOS", ",")
	machineAgents = []string{"python-requests/2.32", "Go-http-client/2.0", "okhttp/5.1"}
	// guesses are the names that an attacker tries.
	guesses = strings.Fields("admin root administrator test guest oracle postgres backup jenkins deploy support info user1 sysadmin ftp")
)

// newActors makes the principals; the first is the busiest. All of them are in the middle of a session.
func newActors(rng *rand.Rand) []actor {
	addresses := newAddresses(rng)
	// Many share the address of an office or a provider.
	pick := rand.NewZipf(rng, skew, 8, addressCount-1)
	all := make([]actor, actorCount)
	for i := range all {
		a := &all[i]
		a.tenant = pickTenant(rng)
		a.address = addresses[pick.Uint64()]
		switch n := rng.IntN(100); {
		case n < 86:
			first, last := firstNames[rng.IntN(len(firstNames))], lastNames[rng.IntN(len(lastNames))]
			a.Actor = audit.Actor{Type: audit.ActorUser, ID: fmt.Sprintf("%s.%s%d", strings.ToLower(first), strings.ToLower(last), i), Name: first + " " + last}
			a.agent = agents[rng.IntN(len(agents))]
			a.session = newHex(rng, 6)
		case n < 95:
			a.Actor = audit.Actor{Type: audit.ActorService, ID: fmt.Sprintf("svc-sync-%d", i), Name: fmt.Sprintf("sync job %d", i)}
		default:
			a.Actor = audit.Actor{Type: audit.ActorAPIKey, ID: fmt.Sprintf("key-%06x", i), Name: "partner integration"}
		}
	}
	return all
}

func pickTenant(rng *rand.Rand) string {
	n := rng.IntN(100)
	for _, t := range tenants {
		if n -= t.share; n < 0 {
			return t.name
		}
	}
	return audit.DefaultTenant
}

// newAddresses returns addresses of the ranges for benchmarks and documentation, one in ten IPv6, so that no real host is ever blamed.
func newAddresses(rng *rand.Rand) []netip.Addr {
	all := make([]netip.Addr, addressCount)
	for i := range all {
		if rng.IntN(10) == 0 {
			b := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(rng.IntN(256)), byte(rng.IntN(256)), 15: byte(1 + rng.IntN(250))}
			all[i] = netip.AddrFrom16(b)
			continue
		}
		all[i] = netip.AddrFrom4([4]byte{198, byte(18 + rng.IntN(2)), byte(rng.IntN(256)), byte(1 + rng.IntN(254))})
	}
	return all
}

// newAttacker returns an address that no actor has.
func newAttacker(rng *rand.Rand) netip.Addr {
	blocks := [...][3]byte{{203, 0, 113}, {198, 51, 100}, {192, 0, 2}}
	b := blocks[rng.IntN(len(blocks))]
	return netip.AddrFrom4([4]byte{b[0], b[1], b[2], byte(1 + rng.IntN(254))})
}
