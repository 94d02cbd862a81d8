package noise_test

func peerProcess() {}
