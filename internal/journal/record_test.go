package journal

import (
	"errors"
	"testing"
)

func TestARowThatIsNotWhatWasWrittenIsDamaged(t *testing.T) {
	key, value := []byte("rkey"), []byte("value")
	sealed := make([]byte, len(value)+sealSize)
	seal(sealed, key, value)
	if got, err := unseal(key, sealed); err != nil || string(got) != "value" {
		t.Fatalf("it comes back as %q (%v)", got, err)
	}
	for bit := range 8 * len(sealed) {
		sealed[bit/8] ^= 1 << (bit % 8)
		if got, err := unseal(key, sealed); !errors.Is(err, ErrDamaged) {
			t.Errorf("with bit %d flipped it comes back as %q (%v)", bit, got, err)
		}
		sealed[bit/8] ^= 1 << (bit % 8)
	}
	if got, err := unseal([]byte("rkex"), sealed); !errors.Is(err, ErrDamaged) {
		t.Errorf("under another key it comes back as %q (%v)", got, err)
	}
}
