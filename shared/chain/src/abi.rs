//! The contracts we call.

use alloy_sol_types::sol;

sol! {
    /// An ERC-20 token, with EIP-3009 as USDC has it (FiatToken v2.2).
    interface Token {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function nonces(address owner) external view returns (uint256);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    }

    /// The overload for a signature of 65 bytes; selector 0xe3ee160e.
    interface TransferByParts {
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore,
            bytes32 nonce, uint8 v, bytes32 r, bytes32 s
        ) external;
    }

    /// The overload for signatures of contract wallets; selector 0xcf092995.
    interface TransferByBytes {
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore,
            bytes32 nonce, bytes memory signature
        ) external;
    }

    /// Uniswap's Permit2, as far as signature transfers go.
    interface Permit2 {
        struct TokenPermissions {
            address token;
            uint256 amount;
        }

        struct PermitTransferFrom {
            TokenPermissions permitted;
            uint256 nonce;
            uint256 deadline;
        }

        error InvalidSigner();
        error InvalidSignature();
        error InvalidSignatureLength();
        error InvalidContractSignature();

        function nonceBitmap(address owner, uint256 word) external view returns (uint256);
    }

    /// x402's proxy for Permit2, for the scheme `exact`.
    interface ExactProxy {
        struct Witness {
            address to;
            uint256 validAfter;
        }

        struct EIP2612Permit {
            uint256 value;
            uint256 deadline;
            bytes32 r;
            bytes32 s;
            uint8 v;
        }

        function settle(
            Permit2.PermitTransferFrom calldata permit, address owner, Witness calldata witness,
            bytes calldata signature
        ) external;

        function settleWithPermit(
            EIP2612Permit calldata permit2612, Permit2.PermitTransferFrom calldata permit,
            address owner, Witness calldata witness, bytes calldata signature
        ) external;
    }

    /// x402's proxy for Permit2, for the scheme `upto`.
    interface UptoProxy {
        struct Witness {
            address to;
            address facilitator;
            uint256 validAfter;
        }

        error AmountExceedsPermitted();
        error UnauthorizedFacilitator();

        function settle(
            Permit2.PermitTransferFrom calldata permit, uint256 amount, address owner,
            Witness calldata witness, bytes calldata signature
        ) external;
    }

    /// How tokens of `OpenZeppelin`'s and Solady's libraries refuse a signature.
    interface Refusal {
        error InvalidSignature();
        error ECDSAInvalidSignature();
        error ECDSAInvalidSignatureLength(uint256 length);
        error ECDSAInvalidSignatureS(bytes32 s);
    }

    /// Multicall3, the same on every network.
    interface Multicall3 {
        struct Call3 {
            address target;
            bool allowFailure;
            bytes callData;
        }

        struct Result {
            bool success;
            bytes returnData;
        }

        function getCurrentBlockTimestamp() external view returns (uint256 timestamp);
        function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory returnData);
    }
}
