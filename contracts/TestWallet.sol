// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// An EIP-1271 wallet with one owner, and a switch by which a test makes it misbehave in the ways that real wallets
/// (and hostile ones) do.
///
/// It has no constructor: put its runtime code at an address or deploy it, then call `initialize`.
contract TestWallet {
    /// How the wallet answers `isValidSignature`.
    enum Behaviour {
        /// Valid when the owner signed.
        Honest,
        /// The opposite of honest.
        Flipped,
        /// Honest in blocks with an even number, flipped in the others: what a simulation saw need not hold when mined.
        FlippedInOddBlocks,
        /// Honest, after burning `gasToBurn` (or all there is).
        BurnsGas,
        /// Reverts.
        Reverts,
        /// Says yes in a word that is longer than it should be.
        AnswersAtLength
    }

    event BehaviourChanged(Behaviour behaviour, uint256 gasToBurn);

    bytes4 private constant VALID = 0x1626ba7e;
    bytes4 private constant INVALID = 0xffffffff;
    uint256 private constant HALF_CURVE_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint256 private constant LONG_ANSWER_BYTES = 100_000;

    address public owner;
    Behaviour public behaviour;
    uint256 public gasToBurn;

    receive() external payable {}

    /// Names the owner, once.
    function initialize(address newOwner) external {
        require(owner == address(0), "TestWallet: already initialized");
        require(newOwner != address(0), "TestWallet: owner is the zero address");
        owner = newOwner;
    }

    /// Open to anybody: this is a wallet for tests. `burn` is the gas that `BurnsGas` burns per question.
    function setBehaviour(Behaviour newBehaviour, uint256 burn) external {
        behaviour = newBehaviour;
        gasToBurn = burn;
        emit BehaviourChanged(newBehaviour, burn);
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        Behaviour now_ = behaviour;
        bool valid = isSignedByOwner(digest, signature);
        if (now_ == Behaviour.Flipped || (now_ == Behaviour.FlippedInOddBlocks && block.number % 2 == 1)) {
            valid = !valid;
        } else if (now_ == Behaviour.BurnsGas) {
            burnGas(gasToBurn);
        } else if (now_ == Behaviour.Reverts) {
            revert("TestWallet: told to revert");
        } else if (now_ == Behaviour.AnswersAtLength) {
            answerAtLength();
        }
        return valid ? VALID : INVALID;
    }

    function burnGas(uint256 amount) private view {
        uint256 before = gasleft();
        // Hashing, so that the optimizer cannot see that nothing comes of it.
        bytes32 burnt;
        while (before - gasleft() < amount) {
            burnt = keccak256(abi.encode(burnt));
        }
        require(burnt != bytes32(uint256(1)));
    }

    /// Ends the call with the valid answer and a long tail of zeros, which a caller that copies it pays for.
    function answerAtLength() private pure {
        bytes4 answer = VALID;
        uint256 size = LONG_ANSWER_BYTES;
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore(start, answer)
            return(start, size)
        }
    }

    function isSignedByOwner(bytes32 digest, bytes calldata signature) private view returns (bool) {
        if (signature.length != 65) {
            return false;
        }
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        uint8 v = uint8(signature[64]);
        if (uint256(s) > HALF_CURVE_ORDER) {
            return false;
        }
        address signer = ecrecover(digest, v, r, s);
        return signer != address(0) && signer == owner;
    }
}
