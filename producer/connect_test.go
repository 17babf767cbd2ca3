package producer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/audittrail/audittrail/producer/internal/producertest"
)

// authority issues certificates into a folder, as files.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert = &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.key = a.issue("ca", a.cert)
	return a
}

// issue writes NAME.crt and NAME.key.
func (a *authority) issue(name string, cert *x509.Certificate) *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	cert.SerialNumber, cert.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	cert.NotBefore, cert.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(a.file(name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// broker is the TLS of a broker that asks clients for a certificate.
func (a *authority) broker() *tls.Config {
	a.t.Helper()
	a.issue("broker", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	c, err := LoadTLS(a.file("ca.crt"), a.file("broker.crt"), a.file("broker.key"))
	if err != nil {
		a.t.Fatal(err)
	}
	c.ClientCAs, c.ClientAuth = c.RootCAs, tls.RequireAndVerifyClientCert
	return c
}

func (a *authority) client() *tls.Config {
	a.t.Helper()
	a.issue("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	c, err := LoadTLS(a.file("ca.crt"), a.file("client.crt"), a.file("client.key"))
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func TestSecureConnections(t *testing.T) {
	a := newAuthority(t)
	_, brokers := cluster(
		t, kfake.TLS(a.broker()), kfake.EnableSASL(), kfake.Superuser(string(Plain), "shop", "pw-plain"),
		kfake.Superuser(string(ScramSHA256), "shop", "pw-256"), kfake.Superuser(string(ScramSHA512), "shop", "pw-512"),
	)
	secure := a.client()
	noCertificate := secure.Clone()
	noCertificate.Certificates = nil
	for _, tt := range []struct {
		name    string
		tls     *tls.Config
		sasl    *SASL
		trouble string
	}{
		{"plain", secure, &SASL{Plain, "shop", "pw-plain"}, ""},
		{"scram 256", secure, &SASL{ScramSHA256, "shop", "pw-256"}, ""},
		{"scram 512", secure, &SASL{ScramSHA512, "shop", "pw-512"}, ""},
		// Apache Kafka says SASL_AUTHENTICATION_FAILED; this broker just hangs up.
		{"wrong password", secure, &SASL{Plain, "shop", "pw-512"}, "is the login right"},
		{"unknown user", secure, &SASL{ScramSHA512, "chop", "pw-512"}, "is the login right"},
		{"unknown authority", &tls.Config{MinVersion: tls.VersionTLS12}, &SASL{Plain, "shop", "pw-plain"}, "unknown authority"},
		{"no client certificate", noCertificate, &SASL{Plain, "shop", "pw-plain"}, "certificate required"},
		{"no TLS", nil, &SASL{Plain, "shop", "pw-plain"}, "is TLS missing"},
		{"no login", secure, nil, "is SASL missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, Options{Brokers: brokers, TLS: tt.tls, SASL: tt.sasl})
			err := p.Check(within(t))
			if tt.trouble == "" {
				if err == nil {
					err = p.Emit(within(t), login("alice"))
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.trouble) || !strings.Contains(err.Error(), brokers[0]) || strings.Contains(err.Error(), "pw-") {
				t.Errorf("got %v, want %q with the broker's address and without the password", err, tt.trouble)
			}
		})
	}
}

func TestLoadTLSExplains(t *testing.T) {
	a := newAuthority(t)
	a.client()
	if c, err := LoadTLS("", "", ""); err != nil || c.RootCAs != nil || c.Certificates != nil {
		t.Errorf("the system's authorities: %+v, %v", c, err)
	}
	for _, tt := range []struct{ ca, cert, key, want string }{
		{"none.crt", "", "", "none.crt"},
		{"ca.key", "", "", "ca.key has no certificate"},
		{"ca.crt", "client.crt", "", "both"},
		{"ca.crt", "", "client.key", "both"},
		{"ca.crt", "client.crt", "ca.key", "client.crt"},
	} {
		files := []string{tt.ca, tt.cert, tt.key}
		for i := range files {
			if files[i] != "" {
				files[i] = a.file(files[i])
			}
		}
		if _, err := LoadTLS(files[0], files[1], files[2]); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

func TestCompressions(t *testing.T) {
	for _, c := range []Compression{LZ4, Zstd, Snappy, Gzip, Uncompressed} {
		_, brokers := cluster(t)
		if err := start(t, Options{Brokers: brokers, Compression: c}).Emit(within(t), login("alice")); err != nil {
			t.Errorf("%s: %v", c, err)
		}
		if n := len(producertest.Read(t, brokers, DefaultTopic)); n != 1 {
			t.Errorf("%s: %d records", c, n)
		}
	}
}

// TestPasswordIsNotShown: invariant 9.
func TestPasswordIsNotShown(t *testing.T) {
	login := SASL{Plain, "shop", "pw-secret"}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "sasl", login, "options", Options{SASL: &login})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "sasl", login, "pointer", &login)
	start(t, Options{Brokers: []string{"127.0.0.1:1"}, SASL: &login, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	text := log.String() + fmt.Sprintf("%v %+v %#v %s", login, login, login, &login)
	if strings.Contains(text, "pw-secret") || !strings.Contains(text, "PLAIN as shop") || !strings.Contains(text, "unencrypted") {
		t.Errorf("got %s", text)
	}
}
